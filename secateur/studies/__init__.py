"""The paper's experiments, and some beyond it: from configuration to traces to figures.

cosine, mnist, shapes, single_digit                      the paper's, one family of figures a file
modern, activations, surrogate, offs, regularised, checkpoints   beyond it
plan       what a study is                 jobs      a network to train and prune: the unit of work
work       what a job does                 store     its record, a file each
pool       many jobs in processes          tables    records to the numbers of a figure
paper      the paper's own curves          agreement where ours and the paper's agree
reproduce  all of it
claims     the paper's twelve claims put to the test, as claims.toml registers them
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from secateur.studies import (
    activations,
    checkpoints,
    cosine,
    mnist,
    modern,
    offs,
    regularised,
    shapes,
    single_digit,
    surrogate,
)
from secateur.studies.plan import Study

_FAMILIES = (
    cosine,
    shapes,
    mnist,
    single_digit,
    offs,
    activations,
    surrogate,
    regularised,
    checkpoints,
    modern,
)

STUDIES: Mapping[str, Study] = MappingProxyType({study.name: study for family in _FAMILIES for study in family.STUDIES})
"""Every study by name, the paper's first, small networks before large ones."""

__all__ = ["STUDIES"]
