"""The claims as claims.toml registers them: what decides each, and by which threshold."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Part:
    """One statement: `value` ("experiment.name", a number a seed) lies above or below the threshold."""

    value: str
    says: Literal["above", "below"]
    threshold: float
    text: str

    @property
    def experiment(self) -> str:
        return self.value.partition(".")[0]

    @property
    def name(self) -> str:
        return self.value.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper, the parts that decide it, and experiments that are told of beside them."""

    id: int
    kind: Literal["representation", "method"]
    title: str
    decides: str
    networks: str
    split: str
    figure: str
    parts: tuple[Part, ...]
    beside: tuple[str, ...] = ()

    @property
    def experiments(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*(part.experiment for part in self.parts), *self.beside)))


@dataclass(frozen=True, slots=True)
class Setting:
    """How much is spent: seeds, and the limits of the quick setting."""

    confidence: float
    seeds: int
    quick_seeds: int
    quick_examples: int
    quick_epochs: int


@cache
def setting() -> Setting:
    """The table `setting`."""
    return Setting(**_read()["setting"])


@cache
def claims() -> tuple[Claim, ...]:
    """All claims, in their order.

    >>> len(claims()), claims()[4].parts[0].experiment
    (12, 'width')
    """
    return tuple(
        Claim(
            **table
            | {"parts": tuple(Part(**part) for part in table["parts"]), "beside": tuple(table.get("beside", ()))}
        )
        for table in _read()["claim"]
    )


def _read() -> dict[str, Any]:
    return tomllib.loads(files("secateur.studies").joinpath("claims.toml").read_text(encoding="utf-8"))
