"""Stops: each one's limit to the step, how they combine, and their spelling as text and as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from secateur import stopping as stop
from secateur.errors import OptionError, UnknownNameError
from secateur.stopping import STOPS, Stop, from_dict, parse
from secateur.trace import Step, Trace, Verdict


def run(*errors: float, accuracy: tuple[float, ...] = (), units: int = 10) -> Trace:
    """A run of that many steps; the network has 100, 90, 80 ... parameters, four times the bytes, twice the FLOPs."""
    metrics = [{"accuracy": value, **answers(accuracy[0] - value)} for value in accuracy] or [{} for _ in errors]
    errors = errors or tuple(1.0 for _ in accuracy)
    return Trace(
        units,
        steps=[
            Step(step, f"fc:{step}" if step else None, error, math.nan, metrics[step], *sizes(100 - 10 * step))
            for step, error in enumerate(errors)
        ],
    )


def answers(drop: float) -> dict[str, float]:
    """The answers of 1,000 examples, with no change that was not needed."""
    changed = 0 if math.isnan(drop) else round(1000 * drop)
    lost, gained = float(max(changed, 0)), float(max(-changed, 0))
    return {"accuracy_lost": lost, "accuracy_gained": gained, "accuracy_same": 1000 - lost - gained}


def sizes(params: int) -> tuple[int, int, int]:
    return params, 4 * params, 2 * params


def end(stop: Stop, trace: Trace) -> tuple[int, str]:
    step, reason = trace.result(stop)
    return step.step, reason.kind


EXAMPLES = {
    "units": stop.units(3),
    "fraction": stop.fraction(0.8),
    "error_rise": stop.error_rise(relative=0.1),
    "metric_drop": stop.metric_drop("accuracy", 0.01),
    "certified_drop": stop.certified_drop("accuracy", 0.01),
    "parameters": stop.parameters(1000),
    "bytes": stop.bytes(4000),
    "flops": stop.flops(2000),
    "never": stop.never(),
}
SIMPLE = st.sampled_from(list(EXAMPLES.values()))
SPELT = st.recursive(SIMPLE, lambda inner: st.tuples(inner, st.sampled_from("&|"), inner))


def combined(spelt: Any) -> Stop:
    """The stop that a nested (stop, operator, stop) spells."""
    if isinstance(spelt, Stop):
        return spelt
    one, operator, other = spelt
    return combined(one) & combined(other) if operator == "&" else combined(one) | combined(other)


def test_every_stop_has_an_example_here() -> None:
    assert EXAMPLES.keys() == STOPS.keys()
    assert all(kind.__name__ == name for name, kind in STOPS.items())


FLAT = run(*[1.0] * 9)


@pytest.mark.parametrize(
    ("stopping", "trace", "expected"),
    [
        (stop.units(0), FLAT, (0, "reached")),
        (stop.units(3), FLAT, (3, "reached")),
        (stop.units(9), FLAT, (8, "running")),
        (stop.fraction(0.3), FLAT, (3, "reached")),
        (stop.fraction(0.31), FLAT, (4, "reached")),
        (stop.fraction(0.07), run(*[1.0] * 20, units=100), (7, "reached")),  # 0.07 * 100 > 7 in floating point
        (stop.fraction(1), run(1.0, 1.0, units=1), (1, "reached")),
        (stop.parameters(80), FLAT, (2, "reached")),
        (stop.parameters(79), FLAT, (3, "reached")),
        (stop.bytes(320), FLAT, (2, "reached")),
        (stop.flops(160), FLAT, (2, "reached")),
        (stop.flops(1000), FLAT, (0, "reached")),
        (stop.never(), FLAT, (8, "running")),
        (stop.error_rise(absolute=0.3), run(0.1, 0.2, 0.4, 0.41), (2, "violated")),  # 0.4 - 0.1 > 0.3 in floating point
        (stop.error_rise(absolute=0), run(1.0, 1.0, 0.5, 1.0 + 1e-9), (2, "violated")),
        (stop.error_rise(relative=0.5), run(2.0, 1.0, 3.0, 3.1), (2, "violated")),
        (stop.error_rise(relative=0.5), run(-2.0, -1.0, -0.9), (1, "violated")),
        (stop.metric_drop("accuracy", 0.01), run(accuracy=(0.98, 0.99, 0.97, 0.969)), (2, "violated")),
        (stop.metric_drop("accuracy", 0.1), run(accuracy=(0.3, 0.2, 0.1)), (1, "violated")),  # 0.3 - 0.2 < 0.1
        (stop.metric_drop("accuracy", 0.2), run(accuracy=(0.9, 0.7, 0.6)), (1, "violated")),  # 0.9 - 0.7 > 0.2
        (stop.metric_drop("accuracy", 0.01), run(accuracy=(0.98, math.nan)), (0, "violated")),
        (stop.metric_drop("accuracy", 0.01), run(accuracy=(0.98, 0.5, 0.98)), (0, "violated")),
        (stop.certified_drop("accuracy", 0.01), run(accuracy=(0.9, 0.9, 0.897, 0.893)), (2, "violated")),
        (stop.certified_drop("accuracy", 0.01), run(accuracy=(0.9, 0.896, 0.9)), (2, "running")),
        (stop.certified_drop("accuracy", 0.01, 0.99), run(accuracy=(0.9, 0.896, 0.9)), (0, "violated")),
        (stop.certified_drop("accuracy", 0.001), run(accuracy=(0.9, 0.9)), (0, "violated")),  # too few examples
    ],
    ids=str,
)
def test_ends(stopping: Stop, trace: Trace, expected: tuple[int, str]) -> None:
    assert end(stopping, trace) == expected


class TestCombined:
    drop = stop.metric_drop("accuracy", 0.1)

    def test_either(self) -> None:
        trace = run(accuracy=(0.9, 0.9, 0.9, 0.7, 0.7))
        assert end(self.drop | stop.units(2), trace) == (2, "reached")
        assert end(self.drop | stop.units(4), trace) == (2, "violated")
        assert end(self.drop | stop.units(3), trace) == (2, "violated")  # both at step 3: the violation counts
        assert end(stop.units(3) | self.drop, trace) == (2, "violated")
        assert end(stop.units(4) | stop.units(1), trace) == (1, "reached")

    def test_both(self) -> None:
        trace = run(accuracy=(0.9, 0.7, 0.7, 0.7, 0.7))
        assert end(self.drop & stop.units(3), trace) == (3, "reached")  # tolerated up to the goal
        assert end(self.drop & stop.units(1), trace) == (1, "reached")  # both at step 1: up to the goal
        assert end(stop.units(4) & stop.units(1), trace) == (4, "reached")
        late = run(accuracy=(0.9, 0.9, 0.9, 0.9, 0.7))
        assert end(self.drop & stop.units(2), late) == (3, "violated")  # more than the goal, while the accuracy holds
        assert end(self.drop & stop.error_rise(absolute=0), late) == (4, "running")

    def test_both_of_three(self) -> None:
        trace = run(1.0, 3.0, 3.0, 3.0)
        rise, more = stop.error_rise(absolute=1), stop.error_rise(relative=0.5)
        assert end(rise & more, trace) == (0, "violated")
        assert end(rise & more & stop.units(2), trace) == (2, "reached")

    def test_nested(self) -> None:
        trace = run(accuracy=(0.9, 0.9, 0.7, 0.7, 0.7, 0.7))
        assert end((self.drop & stop.units(3)) | stop.units(5), trace) == (3, "reached")
        assert end((self.drop | stop.units(5)) & stop.units(1), trace) == (1, "violated")

    def test_flattens(self) -> None:
        one, two, three = stop.units(1), stop.units(2), stop.units(3)
        assert (one | two) | three == one | (two | three)
        assert (one & two) & three == one & (two & three)
        assert (one | two) & three != one | (two & three)

    def test_with_something_else(self) -> None:
        with pytest.raises(TypeError):
            _ = stop.units(1) | 3  # pyright: ignore[reportOperatorIssue]

    def test_because_names_the_part_that_stopped(self) -> None:
        trace = run(accuracy=(0.9, 0.9, 0.7))
        assert trace.result(self.drop | stop.units(9))[1].text == "accuracy drops by more than 0.1, at step 2"
        assert trace.result(self.drop | stop.units(1))[1].text == "1 units are removed, at step 1"

    @given(SPELT, st.lists(st.floats(0, 1), min_size=1, max_size=8))
    def test_verdicts_of_or_and_and(self, spelt: Any, accuracy: list[float]) -> None:
        stopping = combined(spelt)
        trace, other = run(accuracy=tuple(accuracy)), stop.units(2)
        both, either = (stopping & other).verdict(trace), (stopping | other).verdict(trace)
        verdicts = {stopping.verdict(trace), other.verdict(trace)}
        assert (both is Verdict.CONTINUE) == (Verdict.CONTINUE in verdicts)
        assert (either is Verdict.CONTINUE) == (verdicts == {Verdict.CONTINUE})


class TestUnmet:
    drop = stop.metric_drop("accuracy", 0.1)
    trace = run(accuracy=(0.9, 0.9, 0.9, 0.7))

    def test_a_size_that_the_constraint_forbids(self) -> None:
        assert (stop.parameters(50) | self.drop).unmet(self.trace) == [
            "the network has at most 50 parameters: the result has 80"
        ]

    def test_a_size_that_is_met(self) -> None:
        assert (stop.parameters(80) | self.drop).unmet(self.trace) == []
        assert (stop.parameters(70) & self.drop).unmet(self.trace) == []

    def test_either_size_will_do(self) -> None:
        assert (stop.parameters(90) | stop.flops(1) | self.drop).unmet(self.trace) == []
        assert len((stop.parameters(20) | stop.flops(1) | self.drop).unmet(self.trace)) == 2

    def test_of_both_sizes_the_one_that_is_not_met(self) -> None:
        unmet = ((stop.parameters(80) & stop.bytes(1)) | self.drop).unmet(self.trace)
        assert unmet == ["the network has at most 1 bytes: the result has 320"]

    def test_counts_are_no_promise(self) -> None:
        assert (stop.fraction(1.0) | self.drop).unmet(self.trace) == []


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("units", {"n": -1}),
        ("units", {"n": 1.5}),
        ("units", {"n": "3"}),
        ("units", {"n": True}),
        ("units", {"n": math.inf}),
        ("units", {}),
        ("units", {"m": 3}),
        ("fraction", {"f": 0}),
        ("fraction", {"f": -0.1}),
        ("fraction", {"f": 1.0001}),
        ("fraction", {"f": math.nan}),
        ("error_rise", {}),
        ("error_rise", {"absolute": 1, "relative": 1}),
        ("error_rise", {"absolute": -1}),
        ("error_rise", {"relative": math.nan}),
        ("metric_drop", {"name": "accuracy", "drop": -0.1}),
        ("metric_drop", {"name": "", "drop": 0.1}),
        ("metric_drop", {"name": 0.1, "drop": 0.1}),
        ("metric_drop", {"name": "accuracy"}),
        ("certified_drop", {"name": "accuracy", "drop": 0}),
        ("certified_drop", {"name": "accuracy", "drop": 1}),
        ("certified_drop", {"name": "accuracy", "drop": 0.01, "confidence": 95}),
        ("certified_drop", {"name": "", "drop": 0.01}),
        ("parameters", {"n": -1}),
        ("bytes", {"n": -1}),
        ("flops", {"n": 0.5}),
        ("never", {"n": 1}),
    ],
)
def test_options_out_of_range(kind: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=kind):
        from_dict({"stop": kind, **arguments})


@pytest.mark.usefixtures("unchecked")
def test_numbers_of_numpy_are_numbers() -> None:
    stopping: Any = stop.units(np.int64(3)) | stop.fraction(np.float32(0.5))  # pyright: ignore[reportArgumentType]
    assert json.dumps(stopping.to_dict())
    assert stopping == stop.units(3) | stop.fraction(0.5)


class TestNeeds:
    def test_metrics(self) -> None:
        assert (stop.metric_drop("accuracy", 0.1) & stop.units(1) | stop.metric_drop("f1", 0)).metrics == {
            "accuracy",
            "f1",
        }
        assert stop.never().metrics == frozenset()

    def test_a_metric_that_is_not_measured(self) -> None:
        with pytest.raises(UnknownNameError, match=r"'acuracy'. Did you mean 'accuracy'"):
            stop.metric_drop("acuracy", 0.1).verdict(run(accuracy=(0.9,)))

    def test_answers_that_are_not_compared(self) -> None:
        trace = Trace(3, steps=[Step(0, None, 1.0, math.nan), Step(1, "fc:1", 1.0, math.nan, {"accuracy": 0.9})])
        with pytest.raises(UnknownNameError, match="accuracy_lost"):
            stop.certified_drop("accuracy", 0.01).verdict(trace)

    def test_a_certificate_needs_a_validation_set(self) -> None:
        certified, other = stop.certified_drop("accuracy", 0.01), stop.metric_drop("accuracy", 0.01) | stop.units(3)
        assert certified.needs_validation
        assert (other & certified).needs_validation
        assert not other.needs_validation

    @pytest.mark.parametrize("kind", ["parameters", "bytes", "flops"])
    def test_a_size_that_is_not_measured(self, kind: str) -> None:
        with pytest.raises(OptionError, match="measures none"):
            STOPS[kind](10).verdict(Trace(3, steps=[Step(0, None, 1.0, math.nan)]))  # pyright: ignore[reportCallIssue]


class TestSpelling:
    @given(SPELT)
    def test_text_and_json_come_back(self, spelt: Any) -> None:
        stopping = combined(spelt)
        assert parse(str(stopping)) == stopping
        assert from_dict(json.loads(json.dumps(stopping.to_dict()))) == stopping
        assert stopping.describe()

    @pytest.mark.usefixtures("unchecked")  # 1e6 is a float
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("fraction(0.8)", stop.fraction(0.8)),
            (" units( 3 ) ", stop.units(3)),
            ("parameters(1e6)", stop.parameters(1_000_000)),
            ("metric_drop(accuracy, 0.01)", stop.metric_drop("accuracy", 0.01)),
            ("metric_drop('top-5', drop=0)", stop.metric_drop("top-5", 0)),
            ("error_rise(relative=0.1)", stop.error_rise(relative=0.1)),
            ("never()", stop.never()),
            (
                "metric_drop(accuracy, 0.01) | fraction(0.8)",
                stop.metric_drop("accuracy", 0.01) | stop.fraction(0.8),
            ),
            ("units(1) | units(2) & units(3)", stop.units(1) | (stop.units(2) & stop.units(3))),
            ("(units(1) | units(2)) & units(3)", (stop.units(1) | stop.units(2)) & stop.units(3)),
        ],
    )
    def test_parse(self, text: str, expected: Stop) -> None:
        assert parse(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "units",
            "3",
            "units(3",
            "units(3) or units(4)",
            "units(3) + units(4)",
            "units(units(3))",
            "units(-3)",
            "units(1, 2)",
            "units(n=1, n=2)",
            "units(**{})",
            "units(*[1])",
            "units(True)",
            "units(None)",
            "units(2**9)",
            "fraction(0.5j)",
            "error_rise(0.1)",
            "fraction(accuracy)",
            "(lambda: units(3))()",
            "__import__('os').system('true')",
            "units.__class__(3)",
            "units(3)\nunits(4)",
            "units(\0)",
            "(" * 5000 + "units(3)" + ")" * 5000,
            "units(3)" + " | units(3)" * 100_000,
        ],
        ids=lambda text: repr(text[:40]),
    )
    def test_parse_refuses(self, text: str) -> None:
        with pytest.raises(OptionError):
            parse(text)

    def test_the_nearest_name(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'metric_drop'"):
            parse("metricdrop(accuracy, 0.1)")
        with pytest.raises(UnknownNameError, match="no stop is called 'any_of'"):
            parse("any_of(3)")

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        "record", [{}, [], None, {"stop": 3}, {"stop": "any_of"}, {"stop": "all_of", "stops": [{"stop": "never"}]}]
    )
    def test_from_dict_refuses(self, record: Any) -> None:
        with pytest.raises(OptionError):
            from_dict(record)


def test_a_stop_of_your_own() -> None:
    class Odd(Stop):
        def verdict(self, trace: Trace) -> Verdict:
            return Verdict.REACHED if trace.steps[-1].step % 2 else Verdict.CONTINUE

        def describe(self) -> str:
            return "the count is odd"

    assert end(Odd() | stop.units(5), FLAT) == (1, "reached")
