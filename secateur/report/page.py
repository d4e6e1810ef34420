"""The page: everything put together into one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from secateur.plots.curves import Run, draw_curves
from secateur.plots.gain import GainLine, draw_gains
from secateur.plots.sites import SiteUnits, draw_sites
from secateur.plots.style import NARROW, WIDE, Figure
from secateur.report import prose
from secateur.report.data import ReportData
from secateur.report.inline import inline_svg
from secateur.report.payload import MOST_STEPS, payload, safe_json, thin

LARGEST = 1_000_000
"""Bytes that a page stays below, as long as what the user wrote leaves room for it."""
MOST_REFUSED = 200
FEWEST_STEPS = 60


def write_report(path: str | os.PathLike[str], data: ReportData) -> Path:
    """Write the report of a run as one HTML page that loads nothing from anywhere.

    The page is written aside and then renamed, so a reader never meets half of it.

    Units: the page is below 1 MB; a run of more than 1,000 steps is thinned for the slider and the table (the first,
        the last, the result and its neighbours are always there), the figures are drawn from all of them.
    Raises: OSError: the path cannot be written.
    Returns: the path.

    >>> import tempfile
    >>> from secateur.trace import Step
    >>> steps = [Step(0, None, 1.0, float("nan"), params=30), Step(1, "fc1:1", 1.5, 0.4, params=20)]
    >>> data = ReportData({"criterion": "oracle"}, steps, result_step=1, reason="one unit was asked for")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(Path(folder) / "report.html", data).name
    'report.html'
    """
    path = Path(path)
    page = build_report(data).encode("utf-8", "xmlcharrefreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    try:
        with open(aside, "wb") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def build_report(data: ReportData) -> str:
    """The report of a run as the text of an HTML page; see write_report.

    Units: the same run gives the same page, byte for byte.

    >>> from secateur.trace import Step
    >>> page = build_report(ReportData({}, [Step(0, None, 1.0, float("nan"))], result_step=0))
    >>> "<h1>A pruned network</h1>" in page
    True
    """
    script = _file("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    network = data.network or prose.plain(data.configuration.get("model") or data.configuration.get("network") or "")
    clauses = prose.headline(data)
    parts = {
        "policy": f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        "title": _escape(f"{network or 'Pruning report'}: {clauses[0]}"),
        "css": _file("report.css"),
        "heading": _escape(network or "A pruned network"),
        "headline": "".join(f"<span>{_clause(clause)}</span> " for clause in clauses),
        "account": f"<p>{_escape(' '.join(prose.account(data)))}</p>\n<p>{_escape(prose.ending(data))}</p>",
        "sizes": _sizes(data),
        "figures": _figures(data),
        "refused": _refused(data),
        "configuration": _configuration(data),
        "footer": _footer(data),
        "script": script,
    }
    most = MOST_STEPS
    while True:
        kept = len(thin(data.steps, data.result_step, most))
        parts["trace"] = safe_json(payload(data, most))
        parts["record"] = _record(len(data.steps), kept)
        page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _file("template.html"))
        if len(page.encode("utf-8", "xmlcharrefreplace")) < LARGEST or kept <= FEWEST_STEPS:
            return page
        most = kept * 2 // 3


def _file(name: str) -> str:
    return resources.files("secateur.report").joinpath(name).read_text(encoding="utf-8")


def _escape(text: str) -> str:
    return html.escape(str(text), quote=True)


def _clause(clause: str) -> str:
    """A clause of the headline, with its numbers in bold."""
    words, _, new = clause.partition(" → ")
    if not new:
        return _escape(clause)
    name, _, old = words.rpartition(" ")
    return f"{_escape(name)} <b>{_escape(old)} → {_escape(new)}</b>"


def _record(steps: int, kept: int) -> str:
    if kept == steps:
        return f"This page holds the whole trace: {prose.count(steps)} step{'s' if steps > 1 else ''}, step 0 included."
    return (
        f"The run has {prose.count(steps)} steps. To keep the page small, it holds {prose.count(kept)} of them: the "
        "first, the last, all around the result, and others evenly spread. The units of the steps left out are shown "
        "as removed at the next; the run directory has the whole trace."
    )


def _sizes(data: ReportData) -> str:
    before, after = data.before, data.result
    rows = [_row("units", prose.count(data.total), prose.count(data.total - after.step + before.step),
                 prose.ratio(data.total, data.total - after.step + before.step))] if data.total else []  # fmt: skip
    for name, small, old, new, unit in (
        ("parameters", "", before.params, after.params, ""),
        ("bytes", "", before.bytes, after.bytes, "B"),
        ("FLOPs", "for one example", before.flops, after.flops, "FLOPs"),
    ):
        if old or new:
            rows.append(_row(name, _exact(old, unit), _exact(new, unit), prose.ratio(old, new), small))
    note = "FLOPs are floating point operations for one example. "
    if data.latency:
        old, new = data.latency.get("before") or {}, data.latency.get("after") or {}
        share = prose.ratio(old.get("median_ms"), new.get("median_ms"))
        batch = data.latency.get("batch")
        rows.append(_row("latency", _spread(old), _spread(new), share, f"batch of {batch}" if batch else ""))
        note += prose.latency_note(data.latency)
    for name in dict.fromkeys([*before.metrics, *after.metrics]):
        rows.append(_row(name, prose.figure(before.metrics.get(name)), prose.figure(after.metrics.get(name)), ""))
    rows.append(_row("error", prose.figure(before.error), prose.figure(after.error),
                     prose.ratio(before.error, after.error), "summed over examples"))  # fmt: skip
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Sizes before and after"><table>'
        '<thead><tr><th scope="col"><span aria-hidden="true"></span></th><th scope="col">before</th>'
        f'<th scope="col">after</th><th scope="col">ratio</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'</table></div>\n<p class="note">{_escape(note.strip())}</p>'
    )


def _row(name: str, before: str, after: str, share: str, small: str = "") -> str:
    """A row of the table; `before` and `after` are HTML already."""
    under = f"<small>{_escape(small)}</small>" if small else ""
    cells = f"<td>{before}</td><td>{after}</td><td>{_escape(share)}</td>"
    return f'<tr><th scope="row">{_escape(name)}{under}</th>{cells}</tr>'


def _exact(value: int, unit: str) -> str:
    if not unit or value < (1_000_000 if unit == "FLOPs" else 1000):
        return prose.count(value)
    return f"{prose.scaled(value, unit)}<small>{prose.count(value)}</small>"


def _spread(side: Mapping[str, float]) -> str:
    if side.get("median_ms") is None:
        return "n/a"
    text = f"{_escape(prose.milliseconds(side['median_ms']))} ms"
    if side.get("low_ms") is None or side.get("high_ms") is None:
        return text
    low, high = prose.milliseconds(side["low_ms"]), prose.milliseconds(side["high_ms"])
    return f"{text}<small>{_escape(low)} to {_escape(high)}</small>"


def _figures(data: ReportData) -> str:
    label = prose.plain(data.configuration.get("criterion") or "this run")
    runs = [Run(label, data.steps, data.total, data.result_step)]
    runs += [Run(name, steps, data.total) for name, steps in data.others if steps]
    caption = "Error and metrics after each removal. The ring marks the result."
    if len(runs) > 1:
        caption = "Error and metrics after each removal, by criterion. The ring marks the result of this run."
    made = []
    if any(len(run.steps) > 1 for run in runs):
        title = "Error and metrics against units removed"
        made.append(_figure("curves", title, caption, lambda w: draw_curves(runs, width=w)))
    sites = [SiteUnits(layer, names) for layer, _, names in data.sites]
    if sites and len(data.steps) > 1:
        made.append(
            _figure(
                "sites",
                "Units left in each site against units removed",
                "Where the units went: each site, in order of execution, and the share of its units left as the run "
                "goes on. The line marks the result.",
                lambda w: draw_sites(data.steps, sites, result_step=data.result_step, width=w),
            )
        )
    lines = [GainLine(str(c["unit"]), c["gains"], c["errors"], c.get("step")) for c in data.gain_curves]
    if lines:
        made.append(
            _figure(
                "gains",
                "Error against the gain of single units",
                "Gain curves: the error while what one unit contributes is multiplied by a; at a = 0 the unit is off, "
                "at a = 1 (dotted) the network is as it was at that step.",
                lambda w: draw_gains(lines, width=w),
            )
        )
    if not made:
        return ""
    title = '<section aria-labelledby="figures"><h2 id="figures">Figures</h2>'
    return "\n".join([title, *made, "</section>"])


def _figure(name: str, label: str, caption: str, draw: Callable[[float], Figure]) -> str:
    """A figure twice: for a wide page, and for a telephone, of which the style sheet shows one."""
    wide = inline_svg(draw(WIDE), f"{name}-wide", label)
    narrow = inline_svg(draw(NARROW), f"{name}-narrow", label)
    return (
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        f"<figcaption>{_escape(caption)}</figcaption></figure>"
    )


def _refused(data: ReportData) -> str:
    if not data.refused:
        return ""
    items = [f"<li>{_escape(text)}</li>" for text in data.refused[:MOST_REFUSED]]
    if len(data.refused) > MOST_REFUSED:
        items.append(f"<li>and {prose.count(len(data.refused) - MOST_REFUSED)} more.</li>")
    listed = f'<ul class="refused">{"".join(items)}</ul>'
    if len(items) > 8:
        listed = f"<details><summary>All {prose.count(len(data.refused))} of them</summary>{listed}</details>"
    return (
        '<section class="prose" aria-labelledby="refused"><h2 id="refused">What was left alone</h2>'
        "<p>Units that cannot be removed exactly were refused, so the run never considered them.</p>"
        f"{listed}</section>"
    )


def _configuration(data: ReportData) -> str:
    entries: list[tuple[str, str]] = []
    for key, value in data.configuration.items():
        if key in ("sites", "info"):  # drawn above, and told as what was left alone
            continue
        if key == "versions" and isinstance(value, Mapping):
            text = ", ".join(f"{name} {prose.plain(version)}" for name, version in value.items())
        else:
            text = prose.plain(value)
        entries.append((str(key), text if len(text) <= 2000 else text[:2000] + " …"))
    if not entries:
        return ""
    inner = "".join(f"<dt>{_escape(key)}</dt><dd>{_escape(text)}</dd>" for key, text in entries)
    return f"<details><summary>Configuration</summary><dl>{inner}</dl></details>"


def _footer(data: ReportData) -> str:
    versions = data.configuration.get("versions")
    version = prose.plain(versions["secateur"]) if isinstance(versions, Mapping) and "secateur" in versions else ""
    made = f"Written by secateur {version}".strip()
    return _escape(f"{made}. Everything on this page is in this one file; it loads nothing from anywhere.")
