"""The trace inside the page: thinned where long, and safe inside a script element."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from secateur.report.data import ReportData
from secateur.trace import Step

MOST_STEPS = 1000
AROUND_RESULT = 20


def thin(steps: Sequence[Step], result_step: int, most: int = MOST_STEPS) -> list[Step]:
    """At most `most` steps: the first, the last, the result and its neighbourhood, and evenly spread others.

    >>> [s.step for s in thin([Step(i, None, 0.0, 0.0) for i in range(10_000)], 5_000, most=50)][:3]
    [0, 357, 714]
    """
    if len(steps) <= most:
        return list(steps)
    at = next(i for i, step in enumerate(steps) if step.step == result_step)
    around = min(AROUND_RESULT, max(1, (most - 10) // 4))
    keep = {0, len(steps) - 1, at, *range(max(0, at - around), min(len(steps), at + around + 1))}
    free = most - len(keep)
    keep.update(round(i * (len(steps) - 1) / (free + 1)) for i in range(1, free + 1))
    return [steps[i] for i in sorted(keep)]


def payload(data: ReportData, most: int = MOST_STEPS) -> dict[str, Any]:
    """What the page's script reads: configuration, steps, and the order in which units went.

    Units are numbered in the order of the sites. `order` holds the number of the unit that each removal took, thinned
    or not, so that the network can be drawn at every step that is kept; `at` holds how many removals each of these has
    behind it.
    """
    sites = data.sites
    number: dict[str, int] = {}
    for _, _, names in sites:
        for name in names:
            number.setdefault(name, len(number))
    numbers = {step.step for step in thin(data.steps, data.result_step, most)}
    kept = [(at, step) for at, step in enumerate(data.steps) if step.step in numbers]
    configuration = {key: value for key, value in data.configuration.items() if key != "sites"}
    return {
        "network": data.network,
        "configuration": configuration,
        "reason": data.reason,
        "result_step": data.result_step,
        "steps_in_run": len(data.steps),
        "units": data.total,
        "sites": [{"layer": layer, "kind": kind, "units": runs_of(names)} for layer, kind, names in sites],
        "order": [-1 if step.unit is None else number[step.unit] for step in data.steps[1:]],
        "at": [at for at, _ in kept],
        "metrics": list(dict.fromkeys(name for step in data.steps for name in step.metrics)),
        "steps": [step_record(step) for _, step in kept],
    }


def step_record(step: Step) -> dict[str, Any]:
    """A step as in events.jsonl."""
    return {
        "step": step.step,
        "unit": step.unit,
        "error": step.error,
        "score": step.score,
        "metrics": dict(step.metrics),
        "params": step.params,
        "bytes": step.bytes,
        "flops": step.flops,
    }


def runs_of(names: Sequence[str]) -> list[Any]:
    """Names in short: [prefix, first, count] for "prefix:first", "prefix:first + 1" ...; a plain name otherwise.

    >>> runs_of(["fc1:0", "fc1:1", "fc1:2", "odd", "fc1:7"])
    [['fc1', 0, 3], 'odd', ['fc1', 7, 1]]
    """
    short: list[Any] = []
    for name in names:
        prefix, _, tail = name.rpartition(":")
        if not (prefix and tail.isascii() and tail.isdecimal() and str(int(tail)) == tail and len(tail) < 10):
            short.append(name)
        elif short and isinstance(short[-1], list) and short[-1][0] == prefix and sum(short[-1][1:]) == int(tail):
            short[-1][2] += 1
        else:
            short.append([prefix, int(tail), 1])
    return short


def safe_json(value: Any) -> str:
    """JSON that may stand inside a script element: no "<", ">" or "&"; NaN and infinity become null.

    >>> print(safe_json({"unit": "</script>", "score": float("nan")}))
    {"unit":"\\u003c/script\\u003e","score":null}
    """
    text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "tolist"):  # numpy and torch scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)
