"""Numbers and plain sentences: what was done, what came out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from secateur.report.data import ReportData

LOSSES = {
    "sse": "half the sum of squared differences",
    "cross_entropy": "the cross entropy",
    "bce": "the binary cross entropy",
    "mse": "the mean squared difference",
    "self": "the distance to the network's own unpruned output",
}
CRITERIA = {
    "oracle": "the oracle, which switches each unit off in turn and measures the true change of error",
    "taylor1": "the first-order Taylor estimate of the change of error",
    "taylor2": "the second-order Taylor estimate of the change of error",
    "taylor2_paper": "the paper's second-derivative recursion, an approximate second-order estimate",
    "magnitude": "the L2 norm of the parameters that make the unit",
    "random": "chance, as a control",
}

ENDINGS = {
    "reached": "It got there",
    "violated": "It ended with the first step beyond the limit",
    "exhausted": "It ended before that",
    "running": "It has not come to its end yet",
}
"""How a sentence begins, by the kind of trace.Reason that leads the text."""


def count(value: int | float) -> str:
    """A whole number with thousands apart.

    >>> count(41110)
    '41,110'
    """
    return f"{int(value):,}"


def figure(value: float | None) -> str:
    """A measured value in five digits at most.

    >>> figure(0.9912345), figure(123.456789), figure(1234567.8), figure(2.5e-7), figure(float("nan"))
    ('0.9912', '123.46', '1,234,568', '2.5e-07', 'n/a')
    """
    if value is None or not math.isfinite(value):
        return "n/a"
    size = abs(value)
    if size != 0 and size < 1e-3:
        text = f"{value:.3g}"
    elif size < 10:
        text = f"{value:.4f}"
    elif size < 1e4:
        text = f"{value:,.{4 - math.floor(math.log10(size))}f}"
    else:
        text = f"{value:,.0f}" if size < 1e12 else f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if value < 0 else text


def milliseconds(value: float) -> str:
    """A time in three digits.

    >>> milliseconds(0.21302), milliseconds(1234.5)
    ('0.213', '1,234')
    """
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def scaled(value: float, unit: str) -> str:
    """A size in the unit that reads best, powers of 1,000.

    >>> scaled(46758048, "B"), scaled(920, "B"), scaled(1814073344, "FLOPs")
    ('46.8 MB', '920 B', '1.81 GFLOPs')
    """
    power = 0
    while abs(value) >= 1000 and power < 4:
        value, power = value / 1000, power + 1
    digits = 0 if power == 0 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f} {('', 'k', 'M', 'G', 'T')[power]}{unit}"


def ratio(before: float | None, after: float | None) -> str:
    """After as a part of before.

    >>> ratio(41110, 23483), ratio(12, 42), ratio(0, 3)
    ('57.1%', '3.50 times', 'n/a')
    """
    if not before or after is None or not math.isfinite(after / before):
        return "n/a"
    share = after / before
    if abs(share) <= 2:
        return f"{100 * share:.1f}%"
    return f"{share:,.2f} times" if abs(share) < 1e4 else f"{share:.1e} times"


def plain(value: Any) -> str:
    """A configured value in words: strings as they are, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return str(value)
    try:
        return json.dumps(value)
    except TypeError:
        return str(value)


def headline(data: ReportData) -> list[str]:
    """The result in numbers, a clause each."""
    before, after = data.before, data.result
    removed = after.step - before.step
    of = f" of {count(data.total)}" if data.total else ""
    clauses = [f"{count(removed)}{of} units removed"]
    names = list(dict.fromkeys([*before.metrics, *after.metrics]))[:2]
    pairs = [(name, before.metrics.get(name), after.metrics.get(name)) for name in names] or [
        ("error", before.error, after.error)
    ]
    clauses += [f"{name} {figure(old)} → {figure(new)}" for name, old, new in pairs]
    if before.params:
        clauses.append(f"parameters {count(before.params)} → {count(after.params)}")
    return clauses


def account(data: ReportData) -> list[str]:
    """What was done, in sentences; what the configuration does not hold is not spoken of."""
    have = data.configuration
    network = data.network or plain(have.get("model") or have.get("network") or "")
    sites = data.sites
    kinds = sorted({kind for _, kind, _ in sites})
    kind = f"{kinds[0]}s" if len(kinds) == 1 else "units"
    said = [
        f"secateur removed whole {kind} from {network or 'a trained network'}, one at a time, without re-training it."
    ]
    if sites:
        places = f"{len(sites)} sites" if len(sites) > 1 else f"one site, {sites[0][0]}"
        said.append(f"The network has {count(data.total)} removable units in {places}.")
    criterion = have.get("criterion")
    if criterion is not None:
        name = plain(criterion)
        what = CRITERIA.get(name)
        engine = f" (engine {plain(have['engine'])})" if have.get("engine") else ""
        said.append(f"Units were ranked by {what}{engine}." if what else f"Units were ranked by {name}{engine}.")
    if "rerank_every" in have:
        every = have["rerank_every"]
        if every is None:
            said.append("They were ranked once, and removed in that order.")
        elif every == 1:
            said.append("The lowest was removed, and all that were left ranked again.")
        else:
            said.append(f"They were ranked again after every {plain(every)} removals.")
    if have.get("off") == "mean":
        said.append("A unit that is off gives its mean over the examples to those that read it.")
    elif have.get("off") == "zero":
        said.append("A unit that is off contributes nothing to any that reads it.")
    if have.get("loss") is not None:
        loss = plain(have["loss"])
        over = f" over {_amount(have['examples'])} examples" if _amount(have.get("examples")) else ""
        said.append(f"The error is {LOSSES.get(loss, loss)}, summed{over or ' over the examples'}.")
    scored = [name for name in data.before.metrics if name.startswith("scored_")]
    if judged := [name for name in data.before.metrics if name not in scored]:
        names = _join(judged)
        held = _amount(have.get("validation"))
        verb = "was" if len(judged) == 1 else "were"
        on = f"{held} validation examples" if held else (
            "the validation examples" if have.get("validation") else "the scored examples themselves"
        )  # fmt: skip
        said.append(f"{names[:1].upper()}{names[1:]} {verb} measured on {on}.")
    if scored:
        said.append(f"What is called {_join(scored)} was measured on the examples that rank the units.")
    return said


def ending(data: ReportData) -> str:
    """Why the run stopped, and which step is the result."""
    stop = data.configuration.get("stop")
    rule = f"The run was to stop at {plain(stop)}. " if stop is not None else ""
    kind, _, rest = data.reason.strip().rstrip(".").partition(": ")
    why = f"{ENDINGS[kind]}: {rest}. " if kind in ENDINGS and rest else ""
    if not why and kind:
        why = f"It ended: {data.reason.strip().rstrip('.')}. "
    beyond = data.steps[-1].step - data.result_step
    if beyond > 0:
        tail = "one step before" if beyond == 1 else f"{count(beyond)} steps before"
        return f"{rule}{why}The result is step {count(data.result_step)}, {tail} the last that was tried."
    return f"{rule}{why}The result is step {count(data.result_step)}."


def latency_note(latency: Mapping[str, Any]) -> str:
    """How the latency was measured, and whether the two spreads let one tell a difference."""
    parts = []
    if latency.get("batch") is not None:
        parts.append(f"a batch of {plain(latency['batch'])}")
    if latency.get("threads") is not None:
        threads = plain(latency["threads"])
        parts.append(f"{threads} thread" + ("" if threads == "1" else "s"))
    how = f"Latency: median and spread, for {_join(parts)}." if parts else "Latency: median and spread."
    before, after = latency.get("before") or {}, latency.get("after") or {}
    try:
        apart = after["high_ms"] < before["low_ms"] or before["high_ms"] < after["low_ms"]
    except KeyError:
        return how
    return how if apart else f"{how} The two spreads overlap: this measurement shows no sure difference."


def _amount(value: Any) -> str:
    value = value.get("examples") if isinstance(value, Mapping) else value
    return count(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else ""


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
