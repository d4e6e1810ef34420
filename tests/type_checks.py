"""What `--jaxtyping-packages` (pyproject.toml) puts around every function of secateur while tests run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, runtime_checkable

from beartype import BeartypeConf, beartype

_AS_STATICALLY = BeartypeConf(is_pep484_tower=True)  # an int will do for a float, as it does for basedpyright


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the annotations of each call.

    beartype refuses an annotation by a Protocol that isinstance may not be asked about. Asking is harmless here, so the
    protocols that the function's module knows are opened to it first. A function inside another is left alone: it would
    be compiled anew each time that the outer one runs.
    """
    if "<locals>" in function.__qualname__:
        return function
    for known in list(getattr(function, "__globals__", {}).values()):
        if getattr(known, "_is_protocol", False) and not getattr(known, "_is_runtime_protocol", False):
            runtime_checkable(known)
    return beartype(conf=_AS_STATICALLY)(function)
