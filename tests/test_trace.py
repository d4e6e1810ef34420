"""The record of a run: what it refuses, what its result is, and that nothing is lost on the way to text and back."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from secateur.errors import NonFiniteError, RunError
from secateur.stopping import error_rise, fraction, never, units
from secateur.trace import Ranking, Step, Trace, read_steps

START = Step(0, None, 1.5, math.nan, {"accuracy": 0.98}, 30, 120, 60)
FIRST = Step(1, "fc1:17", 0.1 + 0.2, -1e-300, {"accuracy": 0.97}, 20, 80, 40)
SECOND = Step(2, "fc1:3", 2.5, 0.5, {"accuracy": 1 / 3}, 10, 40, 20)


def same(one: Step, other: Step) -> bool:
    return repr(one) == repr(other)  # NaN differs from itself, its text does not


FLOATS = st.floats(allow_nan=True, allow_infinity=True)
STEPS = st.builds(
    Step,
    step=st.integers(0, 10**6),
    unit=st.none() | st.text(),
    error=FLOATS,
    score=FLOATS,
    metrics=st.dictionaries(st.text(), FLOATS, max_size=3),
    params=st.integers(0, 2**62),
    bytes=st.integers(0, 2**62),
    flops=st.integers(0, 2**62),
)


class TestStep:
    @given(STEPS)
    def test_comes_back_from_json(self, step: Step) -> None:
        line = step.to_json()
        assert "\n" not in line
        assert same(Step.from_json(line), step)

    def test_is_strict_json(self) -> None:
        def refuse(name: str) -> None:
            raise AssertionError(name)

        record = json.loads(START.to_json(), parse_constant=refuse)
        assert record == {
            "step": 0,
            "unit": None,
            "error": 1.5,
            "score": None,
            "metrics": {"accuracy": 0.98},
            "params": 30,
            "bytes": 120,
            "flops": 60,
        }

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "{",
            "[]",
            "3",
            "{}",
            START.to_json().replace("1.5", "NaN"),
            START.to_json().replace("1.5", '"1.5"'),
            START.to_json().replace("1.5", "true"),
            START.to_json().replace("30", "30.5"),
            START.to_json().replace('"unit": null', '"unit": 3'),
            START.to_json().replace('{"accuracy": 0.98}', "[]"),
        ],
    )
    def test_refuses_what_is_none(self, line: str) -> None:
        with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
            Step.from_json(line)


class TestTrace:
    def test_tells_what_is_removed(self) -> None:
        trace = Trace(4, 2, [START, FIRST])
        assert (trace.removed, trace.exhausted) == (("fc1:17",), False)
        trace.append(SECOND)
        assert (trace.removed, trace.exhausted) == (("fc1:17", "fc1:3"), True)
        assert trace.until(1).removed == ("fc1:17",)
        assert repr(trace) == "Trace(2 of 4 units removed)"

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            (SECOND, "got step 2, expected step 1"),
            (Step(1, None, 1.0, 0.0), "removes one unit"),
            (Step(1, "fc1:17", math.nan, 0.0), "is nan"),
            (Step(1, "fc1:17", math.inf, 0.0), "is inf"),
        ],
    )
    def test_refuses_a_step(self, step: Step, message: str) -> None:
        trace = Trace(4, steps=[START])
        with pytest.raises((RunError, NonFiniteError), match=message):
            trace.append(step)
        assert len(trace.steps) == 1

    def test_refuses_a_unit_twice_and_a_unit_at_step_0(self) -> None:
        with pytest.raises(RunError, match="an earlier step has removed"):
            Trace(4, steps=[START, FIRST, Step(2, "fc1:17", 1.0, 1.0)])
        with pytest.raises(RunError, match="step 0 has unit"):
            Trace(4, steps=[Step(0, "fc1:17", 1.0, 1.0)])

    def test_keeps_the_newest_ranking(self) -> None:
        import torch

        trace, empty = Trace(4), torch.zeros(0, dtype=torch.int64)
        assert trace.ranking(0) is None
        for step in (0, 3):
            trace.keep(Ranking(step, empty, empty.to(torch.float64)))
        assert trace.ranking(0) is None
        assert trace.ranking(3) is not None


class TestResult:
    trace = Trace(4, steps=[START, FIRST, SECOND])

    def test_a_goal_takes_its_step_in(self) -> None:
        step, reason = self.trace.result(units(1))
        assert (step.step, reason.kind, reason.text) == (1, "reached", "1 units are removed, at step 1")

    def test_a_violation_ends_at_the_step_before(self) -> None:
        step, reason = self.trace.result(error_rise(absolute=0.5))
        assert (step.step, reason.kind) == (1, "violated")
        assert str(reason) == "violated: the error rises by more than 0.5, at step 2"

    def test_the_first_stop_counts_though_the_run_went_on(self) -> None:
        assert self.trace.result(fraction(0.25))[0].step == 1

    def test_running_and_exhausted(self) -> None:
        assert self.trace.result(never())[1].kind == "running"
        assert Trace(4, 2, self.trace.steps).result(never())[1].kind == "exhausted"
        assert Trace(4, 2, self.trace.steps).result(units(2))[1].kind == "reached"

    def test_of_no_steps(self) -> None:
        with pytest.raises(RunError, match="no step yet"):
            Trace(4).result(never())


class TestText:
    def test_csv(self, tmp_path: Path) -> None:
        Trace(4, steps=[START, FIRST, SECOND]).to_csv(tmp_path / "run.csv")
        with (tmp_path / "run.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["step", "unit", "error", "score", "accuracy", "params", "bytes", "flops"]
        assert rows[0]["score"] == rows[0]["unit"] == ""
        assert [float(row["error"]) for row in rows] == [1.5, 0.1 + 0.2, 2.5]
        assert rows[1]["unit"] == "fc1:17"

    def test_json_lines(self) -> None:
        trace = Trace(4, steps=[START, FIRST, SECOND])
        again = Trace.from_json_lines(trace.to_json_lines(), 4, 3)
        assert again.to_json_lines() == trace.to_json_lines()
        assert (again.unit_count, again.removable) == (4, 3)

    def test_every_torn_end_is_dropped(self) -> None:
        content = Trace(4, steps=[START, FIRST, SECOND]).to_json_lines().encode()
        ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
        for cut in range(len(content) + 1):
            steps, whole = read_steps(content[:cut])
            assert len(steps) == sum(end <= cut for end in ends)
            assert whole == max([end for end in ends if end <= cut], default=0)

    @pytest.mark.parametrize("end", [b"\0\0\0", b"\0\0\0\n", b"\xff\n", b'{"step": 2, "un\n', b"\r\n"])
    def test_an_end_of_rubbish_is_dropped(self, end: bytes) -> None:
        content = Trace(4, steps=[START, FIRST]).to_json_lines().encode()
        steps, whole = read_steps(content + end)
        assert (len(steps), whole) == (2, len(content))

    @pytest.mark.parametrize("line", [b"rubbish\n", b"\n", b"{}\n", FIRST.to_json().encode() + b"\n"])
    def test_a_damaged_line_in_the_middle(self, line: bytes) -> None:
        content = START.to_json().encode() + b"\n" + FIRST.to_json().encode() + b"\n"
        with pytest.raises(RunError, match=r"line 3 of runs/x is damaged .* the same decisions"):
            read_steps(content + line + SECOND.to_json().encode() + b"\n", "runs/x")

    def test_a_last_line_that_is_whole_but_wrong(self) -> None:
        with pytest.raises(RunError, match="line 2"):
            read_steps((START.to_json() + "\n" + SECOND.to_json() + "\n").encode())
