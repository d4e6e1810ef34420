"""claims.md from claims.json: a table to read first, a section a claim, the limits."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from secateur.studies.claims.remarks import FOUND, LIMITS, PREFACE, REMARKS

KINDS = {"representation": "On what networks represent", "method": "On how to prune"}

WIDTH = 116
HEAD = "| claim | verdict | what we found | its statements, each alone |"


def write(document: Mapping[str, Any]) -> str:
    """The page."""
    entries = document["claims"]
    lines = ["# The paper's claims, put to the test", "", PREFACE, ""]
    for kind, heading in KINDS.items():
        lines += [f"**{heading}**", "", HEAD, "|---|---|---|---|"]
        lines += [_row(entry) for entry in entries if entry["kind"] == kind]
        lines.append("")
    for entry in entries:
        lines += _section(entry)
    lines += ["## Limits", "", LIMITS, "", "## How this page was made", "", _made(document), ""]
    return "\n".join(lines)


def _row(entry: Mapping[str, Any]) -> str:
    anchor = f"[{entry['id']}. {entry['title']}](#claim-{entry['id']})"
    return f"| {anchor} | **{entry['verdict']}** | {_filled(FOUND[entry['id']], entry)} | {_tally(entry)} |"


def _tally(entry: Mapping[str, Any]) -> str:
    """How many parts hold, fail and are open, each taken alone.

    >>> _tally({"parts": [{"verdict": "holds"}, {"verdict": "undecided"}, {"verdict": "holds"}]})
    '2 hold, 1 open'
    """
    words = {"holds": "hold", "fails": "fail", "undecided": "open", "not measurable": "not measurable"}
    found = [part["verdict"] for part in entry["parts"]]
    return ", ".join(f"{found.count(verdict)} {word}" for verdict, word in words.items() if verdict in found)


def _section(entry: Mapping[str, Any]) -> list[str]:
    corrected = f"p {_p(entry['p_holm'])} after Holm" if any(map(_is_decided, entry["parts"])) else "no part is decided"
    lines = [
        f"## Claim {entry['id']}",
        "",
        f"*{entry['title']}.* **{entry['verdict'].capitalize()}** ({corrected}).",
        "",
    ]
    remark = textwrap.fill(_filled(REMARKS[entry["id"]], entry), WIDTH, break_long_words=False, break_on_hyphens=False)
    lines += [remark, "", f"![{entry['title']}]({entry['figure']})", ""]
    lines += ["| statement | mean (95% interval) | networks | |", "|---|---|---|---|"]
    for part in entry["parts"]:
        known = sum(value is not None for value in part["values"])
        lines.append(f"| {part['text']} | {_estimate(part)} | {known} | {part['verdict']} |")
    lines += ["", f"Networks: {entry['networks']}. Examples: {entry['split']}. Decides: {entry['decides']}.", ""]
    return lines


def _is_decided(part: Mapping[str, Any]) -> bool:
    return part["verdict"] in ("holds", "fails")


def _estimate(part: Mapping[str, Any]) -> str:
    if part["estimate"] is None:
        return "none"
    low, high = (_number(part[key]) for key in ("low", "high"))
    return f"{_number(part['estimate'])} ({low} to {high})"


def _number(value: float | None) -> str:
    """Three digits, and a dash for what is not known.

    >>> _number(0.12345), _number(None), _number(-0.0001234), _number(12.345)
    ('0.123', '-', '-0.0001', '12.3')
    """
    if value is None:
        return "-"
    text = f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.1g}"
    return re.sub(r"e-0*(\d+)", r"e-\1", text) if abs(value) < 1e-4 else text


def _p(value: float) -> str:
    return f"= {value:.2g}" if value >= 0.001 else "< 0.001"


def _filled(text: str, entry: Mapping[str, Any]) -> str:
    """The text with {experiment.name:format} replaced by the means; a dash where a quick run has none."""

    def number(match: re.Match[str]) -> str:
        value = entry["beside"].get(match[1])
        return "-" if value is None else format(value, match[2] or ".2f")

    return " ".join(re.sub(r"\{([\w.-]+?\.[\w.()-]+)(?::([^}]*))?\}", number, text).split())


def _made(document: Mapping[str, Any]) -> str:
    setting = "full" if document["full"] else "quick (a trial of the machinery: its verdicts mean nothing)"
    return (
        f"`{document['command']}`, the {setting} setting, seeds {document['seeds'][0]} to {document['seeds'][-1]}; all "
        "numbers are in claims.json. What decides was written down in `secateur/studies/claims.toml` before the runs. "
        "No threshold was changed after; four other things were, which that file lists: the test, parts that cannot be "
        "measured, the clock of claim 11, the number of networks. The networks trained by L-BFGS (beside claim 2) were "
        "added later, and decide nothing. Pilot networks, from seed 100, served to find faults in the code, and are in "
        "no number here."
    )
