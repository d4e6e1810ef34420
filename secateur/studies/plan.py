"""What a study is: networks under conditions, criteria under schedules, and the figures that show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from secateur.gated import Off

ITERATIVE, SINGLE = "iterative-rerank", "single-pass"
TITLES: Mapping[str, str] = MappingProxyType({ITERATIVE: "ranked again after every removal", SINGLE: "ranked once"})
PAPER: Mapping[str, str] = MappingProxyType(
    {"oracle": "brute_force", "taylor1": "first_order", "taylor2_paper": "second_order"}
)
"""The paper's three methods, by the criteria of ours that their curves are compared with."""
BEYOND = 5
"""How many networks the full setting has of what goes beyond the paper; of the paper's own it has 50 small ones and 20
larger."""
FOUR = ("oracle", "taylor1", "taylor2_paper", "taylor2")


@dataclass(frozen=True)
class Effort:
    """How much is spent on a study: the quick setting and the full one differ in nothing else.

    `examples` limits those that rank and those that report; `rerank_every` is the stride of "ranked again";
    `training` takes the place of options of the recipe.

    >>> Effort(seeds=50).rerank_every
    1
    """

    seeds: int
    examples: int | None = None
    rerank_every: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    gains: int = 101


@dataclass(frozen=True)
class Condition:
    """One way to have and to judge a network: its recipe, the meaning of off, and when its training was stopped.

    `checkpoint` is the epoch after which the training is left; None for its end.

    >>> Condition("off = mean", "cos-small", off="mean").loss
    'sse'
    """

    label: str
    recipe: str
    loss: str = "sse"
    off: Off = "zero"
    checkpoint: int | None = None


@dataclass(frozen=True)
class Figure:
    """A picture of a study: one schedule, a row of panels for every condition.

    `error` and `accuracy` name the curves of the paper that belong to it, where it has them.

    >>> Figure("cos-small", ITERATIVE, error="cos-small").accuracy
    ''
    """

    name: str
    schedule: str
    error: str = ""
    accuracy: str = ""


@dataclass(frozen=True)
class Study:
    """An experiment, complete: what is trained, how its units are ranked, what is drawn.

    `start` is the accuracy that the paper gives for its untouched network. `paper_examples` is on how many examples its
    errors are summed; 0 where that is not known, and its curves are then drawn as they are.

    >>> from secateur.studies import STUDIES
    >>> STUDIES["mnist-acc99"].start
    0.998
    """

    name: str
    title: str
    conditions: tuple[Condition, ...]
    figures: tuple[Figure, ...]
    quick: Effort
    full: Effort
    criteria: tuple[str, ...] = FOUR
    classes: bool = True
    start: float | None = None
    paper_examples: int = 0
    gains: Mapping[str, str] = field(default_factory=dict)
    """Figures of gain curves, by the criterion whose choices they show."""
    mnist: bool = False
    """Whether it needs the whole of MNIST, which does not come with the package."""
    paper: bool = True
    """Whether the paper did it too."""

    def effort(self, full: bool) -> Effort:
        return self.full if full else self.quick

    @property
    def schedules(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(figure.schedule for figure in self.figures))

    @property
    def names(self) -> tuple[str, ...]:
        """The study's name, and those of its figures."""
        return tuple(dict.fromkeys((self.name, *(figure.name for figure in self.figures), *self.gains.values())))


def gain_figures(name: str) -> Mapping[str, str]:
    """The paper's names of the gain curves of a study: gt is the ground truth, g1 and g2 the two orders.

    >>> gain_figures("diamond")["oracle"]
    'diamond-gt-gain'
    """
    return {"oracle": f"{name}-gt-gain", "taylor1": f"{name}-g1-gain", "taylor2_paper": f"{name}-g2-gain"}
