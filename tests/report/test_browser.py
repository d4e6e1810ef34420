"""The page in a real browser: headless Chromium, over file://, with a profile of its own."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from secateur.report import ReportData, prose, write_report
from secateur.trace import Step

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
    "--virtual-time-budget=4000",
]


class Dom(HTMLParser):
    """What the browser made of the page: root attributes, text by id, rows by name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root: dict[str, str | None] = {}
        self.by_id: dict[str, dict[str, str | None]] = {}
        self.rows: dict[str, int] = {}
        self.tags: list[str] = []
        self.feed(text)
        self.source = text

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        if tag == "html":
            self.root = attributes
        if attributes.get("id"):
            self.by_id[attributes["id"] or ""] = attributes
        if "data-left" in attributes:
            self.rows[(attributes["aria-label"] or "").split(":")[0]] = int(attributes["data-left"] or -1)

    def text(self, name: str) -> str:
        match = re.search(rf'id="{name}"[^>]*>(.*?)</(?:strong|p)>|id="{name}"[^>]*>(.*?)</span>', self.source, re.S)
        assert match, name
        return re.sub(r"<[^>]+>", " ", match.group(1) or match.group(2) or "").strip()


@pytest.fixture
def visit(chromium, tmp_path) -> Callable[..., Dom]:
    """The page as it stands after its script ran, at an address like "#step=10"."""

    def visit(page: Path, where: str = "") -> Dom:
        done = subprocess.run(
            [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{page.as_uri()}{where}"],
            capture_output=True,
            timeout=120,
            check=True,
            encoding="utf-8",
        )
        return Dom(done.stdout)

    return visit


@pytest.fixture(scope="module")
def page(run_like, tmp_path_factory):
    data = run_like((50, 50), 90, result_step=43)
    return data, write_report(tmp_path_factory.mktemp("report") / "report.html", data)


def test_the_page_opens_at_the_result_without_errors(page, visit):
    dom = visit(page[1])
    assert dom.root["data-ready"] == "1"
    assert dom.root["data-errors"] == "0", dom.root.get("data-fault")
    assert dom.root["data-step"] == "43"
    assert "hidden" not in dom.by_id["now-mark"]


@pytest.mark.parametrize("step", [0, 1, 10, 90])
def test_the_slider_shows_step_metrics_and_units(page, visit, step):
    data, path = page
    dom = visit(path, f"#step={step}")
    wanted = data.steps[step]
    assert dom.root["data-errors"] == "0", dom.root.get("data-fault")
    assert (dom.root["data-step"], dom.root["data-removed"]) == (str(step), str(step))
    assert dom.root["data-unit"] == (wanted.unit or "")
    assert dom.text("now-step") == f"Step {step} of 90"
    assert (wanted.unit or "untouched") in dom.text("now-unit")
    spoken = dom.by_id["slider"]["aria-valuetext"] or ""
    assert f"accuracy {wanted.metrics['accuracy']:.4f}" in spoken
    assert f"error {prose.figure(wanted.error)}" in spoken
    assert f"{wanted.params:,} parameters" in dom.text("now-values")
    gone = [s.unit for s in data.steps[1 : step + 1]]
    for layer, _, names in data.sites:
        assert dom.rows[layer] == sum(name not in gone for name in names)
    latest = [name for name in reversed(gone[-12:]) if name]
    assert re.findall(r"fc\d:\d+", dom.text("recent")) == latest


def test_an_address_beyond_the_run_shows_its_end(page, visit):
    assert visit(page[1], "#step=99999").root["data-step"] == "90"


def test_slider_keys_buttons_and_play_work(page, visit, tmp_path):
    """A page around the report drives it as a reader would, and writes down what it sees."""
    _, path = page
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)  # or the driver could not run in it
    driver = """
<script>
const log = [], root = document.documentElement, $ = (id) => document.getElementById(id);
const note = (what) => log.push(what + " " + root.dataset.step);
const press = (name) => new KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true});
const key = (name) => $("slider").dispatchEvent(press(name));
$("slider").value = 17; $("slider").dispatchEvent(new Event("input", {bubbles: true})); note("input");
key("ArrowRight"); note("right"); key("ArrowLeft"); key("ArrowLeft"); note("left");
key("End"); note("end"); key("Home"); note("home"); key("PageUp"); note("pageup");
$("next").click(); note("next"); $("previous").click(); note("previous"); $("to-result").click(); note("result");
log.push("hash " + location.hash);
$("table").open = true;
key("Home"); $("play").click();
const watch = setInterval(() => {
  if (root.dataset.step === "0") return;
  clearInterval(watch);
  $("play").click();
  log.push("played " + (Number(root.dataset.step) > 0) + " " + $("play").getAttribute("aria-pressed"));
  log.push("rows " + $("table").querySelectorAll("tbody tr").length);
  const size = $("rows").querySelector("canvas");
  log.push("painted " + size.getContext("2d").getImageData(0, 0, size.width, size.height).data.some((v) => v > 0));
  root.dataset.log = log.join("; ");
}, 50);
</script></body>"""
    driven = tmp_path / "driven.html"
    driven.write_text(text.replace("</body>", driver), encoding="utf-8")
    dom = visit(driven)
    assert dom.root["data-errors"] == "0", dom.root.get("data-fault")
    assert (dom.root.get("data-log") or "").split("; ") == [
        "input 17", "right 18", "left 16", "end 90", "home 0", "pageup 9", "next 10", "previous 9", "result 43",
        "hash #step=43", "played true false", "rows 91", "painted true",
    ]  # fmt: skip


def test_hostile_names_do_nothing_in_a_browser(visit, tmp_path):
    bad = '</script><img src=x onerror="document.documentElement.dataset.owned=1"><svg onload=alert(1)>:0'
    data = ReportData(
        {"sites": [{"layer": bad, "kind": "neuron", "units": [bad, "b:1"]}], "criterion": bad, "loss": bad},
        [Step(0, None, 1.0, math.nan, {bad: 0.5}), Step(1, bad, 2.0, 1.0, {bad: 0.4})],
        1,
        reason=bad,
        network=bad,
        refused=[bad],
    )
    dom = visit(write_report(tmp_path / "report.html", data))
    assert dom.root["data-errors"] == "0", dom.root.get("data-fault")
    assert "data-owned" not in dom.root
    assert "img" not in dom.tags
    assert dom.root["data-unit"] == bad


@pytest.mark.parametrize("removals", [0, 1])
def test_short_runs_run_without_errors(run_like, visit, tmp_path, removals):
    data = run_like((3,), removals, result_step=0, configuration={"metrics": []})
    dom = visit(write_report(tmp_path / "report.html", data))
    assert (dom.root["data-errors"], dom.root["data-step"]) == ("0", "0"), dom.root.get("data-fault")


def test_a_long_run_of_a_large_network(run_like, visit, tmp_path):
    data = run_like((3072,) * 4, 4000, result_step=2999)
    dom = visit(write_report(tmp_path / "report.html", data), "#step=4000")
    assert (dom.root["data-errors"], dom.root["data-step"]) == ("0", "4000"), dom.root.get("data-fault")
    assert sum(dom.rows.values()) == 4 * 3072 - 4000
