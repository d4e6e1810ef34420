"""The page: small, alone, honest about numbers, and closed to what hostile names try."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from secateur.errors import OptionError
from secateur.report import ReportData, build_report, write_report
from secateur.report.payload import runs_of, thin
from secateur.trace import Step

HOSTILE = "</script><img src=x onerror=alert(1)><!--\u2028$x$ {{trace}} & \"'"
LATENCY = {
    "before": {"median_ms": 0.213, "low_ms": 0.201, "high_ms": 0.244},
    "after": {"median_ms": 0.148, "low_ms": 0.139, "high_ms": 0.171},
    "batch": 64,
    "threads": 2,
}


class Outline(HTMLParser):
    """Elements with their attributes, and the text of the scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.lasttag == "script" and data.strip():
            self.scripts[-1] += data
        elif self.lasttag != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def embedded(page: str) -> dict:
    return json.loads(Outline(page).scripts[0])


def test_a_page_of_a_thousand_steps_and_units_is_below_one_megabyte_and_whole(run_like, tmp_path):
    criteria = ("taylor2", "taylor1", "random")
    others = [(name, run_like((500, 500), 999, seed).steps) for seed, name in enumerate(criteria)]
    gains = np.linspace(0, 10, 10_001)
    curves = [{"unit": f"fc1:{i}", "gains": gains, "errors": 1 + (gains - 1) ** 2 * i, "step": i} for i in range(10)]
    data = run_like((500, 500), 999, others=others, gain_curves=curves, latency=LATENCY)
    path = write_report(tmp_path / "report.html", data)
    assert path.stat().st_size < 1_000_000
    trace = embedded(path.read_text(encoding="utf-8"))
    assert len(trace["steps"]) == 1000
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_the_embedded_trace_parses_back_to_the_steps(run_like):
    data = run_like((50, 50), 70)
    trace = embedded(build_report(data))
    back = [Step(**{**s, "score": math.nan if s["score"] is None else s["score"]}) for s in trace["steps"]]
    assert back[1:] == list(data.steps[1:])
    assert math.isnan(back[0].score)
    names = [name for site in data.sites for name in site[2]]
    assert [names[i] for i in trace["order"]] == [step.unit for step in data.steps[1:]]
    assert trace["result_step"] == data.result_step
    assert trace["configuration"]["criterion"] == "oracle"


def test_a_long_run_is_thinned_but_keeps_what_matters(run_like):
    data = run_like((3000, 3000), 5000, result_step=3217)
    trace = embedded(build_report(data))
    kept = [step["step"] for step in trace["steps"]]
    assert len(kept) <= 1000
    assert {0, 5000, *range(3207, 3228)} <= set(kept)
    assert kept == sorted(set(kept))
    assert len(trace["order"]) == 5000
    assert trace["at"] == kept  # removals behind each step
    assert "The run has 5,001 steps" in build_report(data)


@pytest.mark.parametrize("most", [30, 100, 999])
@pytest.mark.parametrize("result", [0, 1, 500, 1999, 2000])
def test_thinning_never_exceeds_its_limit(most, result):
    steps = [Step(i, None, 0.0, 0.0) for i in range(2001)]
    kept = [step.step for step in thin(steps, result, most)]
    assert len(kept) <= most
    assert {0, result, 2000} <= set(kept)


def test_nothing_is_loaded_from_anywhere(run_like):
    page = build_report(run_like((50, 50), 70, latency=LATENCY, refused=["64 units of conv1: no"]))
    addresses = set(re.findall(r"""(?:https?:)?//[\w.]+[^\s"'<>)]*""", re.sub(r"(?m)//[ -].*$", "", page)))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    for tag, attributes in Outline(page).elements:
        assert tag not in {"img", "iframe", "object", "embed", "base", "form", "video", "audio"}
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)


def test_only_the_pages_own_script_may_run(run_like):
    page = build_report(run_like())
    policy = next(a["content"] for tag, a in Outline(page).elements if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(Outline(page).scripts[1].encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_hostile_strings_stay_text(run_like):
    hostile = ReportData(
        configuration={
            "criterion": HOSTILE,
            "loss": HOSTILE,
            "stop": HOSTILE,
            HOSTILE: {HOSTILE: HOSTILE},
            "sites": [{"layer": HOSTILE, "kind": HOSTILE, "units": [HOSTILE + ":0", HOSTILE]}],
            "versions": {"secateur": HOSTILE},
        },
        steps=[
            Step(0, None, 1.0, math.nan, {HOSTILE: 0.5}, 10, 40, 20),
            Step(1, HOSTILE, 2.0, 1.0, {HOSTILE: 0.4}, 5, 20, 10),
        ],
        result_step=1,
        reason=HOSTILE,
        network=HOSTILE,
        gain_curves=[{"unit": HOSTILE, "gains": [0, 1], "errors": [2.0, 1.0], "step": 0}],
        refused=[HOSTILE],
        latency={**LATENCY, "batch": HOSTILE},
        others=[(HOSTILE, [Step(0, None, 1.0, 0.0), Step(1, HOSTILE, 3.0, 0.0)])],
    )
    page = build_report(hostile)
    outline = Outline(page)
    assert "<img" not in page
    assert "<!--" not in page
    assert [tag for tag, _ in outline.elements].count("script") == 2
    assert all(not name.startswith("on") for _, attributes in outline.elements for name in attributes)
    trace = embedded(page)
    assert trace["steps"][1]["unit"] == HOSTILE
    assert trace["sites"][0]["layer"] == HOSTILE
    plain = [tag for tag, _ in Outline(build_report(run_like((2,), 1, gain_curves=hostile.gain_curves))).elements]
    assert {tag for tag, _ in outline.elements} <= set(plain) | {"section", "ul", "li"}


def test_the_result_is_told_in_numbers(run_like):
    data = run_like((100,), 44, result_step=43, latency=LATENCY)
    words = Outline(build_report(data)).words
    assert "43 of 100 units removed" in words
    assert "parameters 40,100 → 22,857" in words
    assert "accuracy 0.9912 → 0.9822" in words
    assert "0.213 ms" in words
    assert "0.139 to 0.171" in words
    assert "69.5%" in words
    assert "The result is step 43, one step before the last that was tried." in words
    assert "ranked by the oracle" in words
    assert "summed over 5,000 examples" in words
    assert "shows no sure difference" not in words


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("reached: 9 units are removed, at step 9", "It got there: 9 units are removed, at step 9."),
        ("violated: accuracy fell.", "It ended with the first step beyond the limit: accuracy fell."),
        ("somebody pulled the plug", "It ended: somebody pulled the plug."),
        ("", "fraction(0.8). The result is step"),
    ],
)
def test_the_end_is_told_in_a_sentence(run_like, reason, sentence):
    assert sentence in Outline(build_report(run_like(reason=reason))).words


def test_validation_may_be_a_record(run_like):
    data = run_like(configuration={"validation": {"examples": 321, "data": "ab"}})
    assert "Accuracy was measured on 321 validation examples." in Outline(build_report(data)).words


def test_overlapping_latencies_are_not_sold_as_a_gain(run_like):
    latency = {**LATENCY, "after": {"median_ms": 0.2, "low_ms": 0.19, "high_ms": 0.22}}
    assert "this measurement shows no sure difference" in Outline(build_report(run_like(latency=latency))).words


def test_figures_have_their_own_identifiers(run_like):
    curves = [{"unit": "fc1:0", "gains": [0, 1, 2], "errors": [2.0, 1.0, 2.0], "step": 0}]
    page = build_report(run_like(gain_curves=curves))
    outline = Outline(page)
    identifiers = [a["id"] for _, a in outline.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(identifiers)
    assert {(a.get("href") or "")[1:] for tag, a in outline.elements if tag == "use"} <= set(identifiers)
    pictures = [a for tag, a in outline.elements if tag == "svg"]
    assert len(pictures) == 6
    assert all(a.get("aria-label") and a.get("role") == "img" for a in pictures)


def test_figures_follow_the_colours_of_the_page(run_like):
    page = build_report(run_like(others=[("taylor2", run_like().steps), ("mine", run_like().steps)]))
    body = page[page.index("<main>") : page.index('id="trace"')]
    assert re.findall(r"#[0-9a-f]{6}\b", body) == []
    used = set(re.findall(r"var\((--[\w-]+)\)", body))
    assert used <= set(re.findall(r"(--[\w-]+):", page))


def test_the_same_run_gives_the_same_page(run_like):
    assert build_report(run_like()) == build_report(run_like())


@pytest.mark.parametrize(
    "steps",
    [
        [Step(0, None, 12.0, math.nan)],
        [Step(0, None, 0.0, math.nan), Step(1, "fc1:3", 0.0, 0.0)],
        [Step(0, None, math.nan, math.nan), Step(1, "fc1:3", math.inf, math.nan)],
        [Step(0, None, 1.0, math.nan, {"accuracy": math.nan}), Step(1, "fc1:3", 2.0, -1.0, {"f1": 0.5})],
        [Step(0, None, 1.0, math.nan), Step(1, "elsewhere:3", 2.0, -1.0)],
    ],
)
@pytest.mark.parametrize("configuration", [{}, {"units": 4, "criterion": "random", "rerank_every": None}])
def test_poor_runs_still_make_a_page(steps, configuration):
    page = build_report(ReportData(configuration, steps, steps[-1].step))
    assert len(embedded(page)["steps"]) == len(steps)
    assert "NaN" not in Outline(page).scripts[0]
    assert "nan" not in Outline(page).words.lower().split()


def test_a_result_that_is_no_step_is_refused(run_like):
    with pytest.raises(OptionError, match="result_step is 99, but the steps go from 0 to 60"):
        run_like(result_step=99)
    with pytest.raises(OptionError, match="at least step 0"):
        ReportData({}, [], 0)


def test_names_in_short():
    names = ["a:0", "a:1", "b:5", "b:6", "x", "a:2", "a:02"]
    assert runs_of(names) == [["a", 0, 2], ["b", 5, 2], "x", ["a", 2, 1], "a:02"]


def test_a_failed_write_leaves_the_old_page(run_like, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_report(path, run_like())
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
