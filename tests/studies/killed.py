"""Reproduces the tiny study in the folder that is named, slowly enough to be killed on the way."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from studies.conftest import tiny

from secateur.studies import reproduce


def main() -> None:
    study = tiny()
    reproduce.STUDIES = {study.name: study}
    told = lambda job, error: time.sleep(1.0)  # noqa: E731
    reproduce.reproduce(reproduce.Wanted(), Path(sys.argv[1]), told=told)


if __name__ == "__main__":
    main()
