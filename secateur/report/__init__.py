"""The report: one HTML page that tells a pruning run, needs no network, and can be sent on.

data.py      ReportData: what a report is made of
payload.py   the trace inside the page: thinned where long, safe inside a script element
prose.py     numbers and plain sentences
inline.py    figures as SVG that follows the page's colours
page.py      write_report and build_report: everything put together
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.report.data import ReportData
    from secateur.report.page import build_report, write_report

__all__ = ["ReportData", "build_report", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "data" if name == "ReportData" else "page"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
