"""Stops that are reached: so much is removed, or the network is so small. And the one that never is."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.errors import OptionError
from secateur.stopping.face import Stop
from secateur.stopping.options import SLACK, number, whole
from secateur.trace import Step, Trace, Verdict


@dataclass(frozen=True, slots=True)
class units(Stop):
    """Stop when n units are removed.

        removed >= n

    Units: n counts units; 0 is the untouched network.
    Raises: OptionError for a negative n.

    >>> units(2).verdict(Trace(4, steps=[Step(0, None, 1.0, float("nan"))])).name
    'CONTINUE'
    """

    n: int

    def __post_init__(self) -> None:
        whole(self, "n")

    def verdict(self, trace: Trace) -> Verdict:
        return _goal(trace.steps[-1].step >= self.n)

    def describe(self) -> str:
        return f"{self.n:,} units are removed"


@dataclass(frozen=True, slots=True)
class fraction(Stop):
    """Stop when a fraction of all units is removed.

        removed >= f * K, for K units in the untouched network

    Units: f in (0, 1].
    Raises: OptionError for another f.

    >>> fraction(0.5).verdict(Trace(1, steps=[Step(0, None, 1.0, float("nan")), Step(1, "fc1:0", 1.5, 0.5)])).name
    'REACHED'
    """

    f: float

    def __post_init__(self) -> None:
        number(self, "f")
        if not 0 < self.f <= 1:
            raise OptionError(f"fraction(f) got f={self.f!r}; expected a number above 0 and at most 1, such as 0.8.")

    def verdict(self, trace: Trace) -> Verdict:
        return _goal(trace.steps[-1].step >= self.f * trace.unit_count * (1 - SLACK))

    def describe(self) -> str:
        return f"{100 * self.f:g}% of the units are removed"


@dataclass(frozen=True, slots=True)
class _Size(Stop):
    """What the goals of size share: stop when the cut network has at most n of what `size` tells."""

    n: int

    def __post_init__(self) -> None:
        whole(self, "n")

    def size(self, step: Step) -> int:
        raise NotImplementedError

    def verdict(self, trace: Trace) -> Verdict:
        if self.size(trace.steps[0]) <= 0:
            raise OptionError(f"{self} needs the network's size, and the run measures none: have `measure` return it.")
        return _goal(self.size(trace.steps[-1]) <= self.n)

    def lacking(self, step: Step) -> list[str]:
        size = self.size(step)
        return [f"{self.describe()}: the result has {size:,}"] if size > self.n else []

    def describe(self) -> str:
        return f"the network has at most {self.n:,} {type(self).__name__}"


@dataclass(frozen=True, slots=True)
class parameters(_Size):
    """Stop when the cut network has at most n parameters.

        params(g) <= n

    Units: numbers, not bytes; buffers are not counted.
    Raises: OptionError for a negative n, or at the first step of a run that does not measure sizes.

    >>> parameters(30).verdict(Trace(1, steps=[Step(0, None, 1.0, float("nan"), params=31)])).name
    'CONTINUE'
    """

    def size(self, step: Step) -> int:
        return step.params


@dataclass(frozen=True, slots=True)
class bytes(_Size):
    """Stop when the parameters of the cut network take at most n bytes.

        bytes(g) <= n

    Units: bytes, in the network's own dtype.
    Raises: OptionError for a negative n, or at the first step of a run that does not measure sizes.

    >>> bytes(124).verdict(Trace(1, steps=[Step(0, None, 1.0, float("nan"), bytes=124)])).name
    'REACHED'
    """

    def size(self, step: Step) -> int:
        return step.bytes


@dataclass(frozen=True, slots=True)
class flops(_Size):
    """Stop when the cut network needs at most n floating-point operations for one example.

        flops(g) <= n

    Units: floating-point operations; a multiplication and an addition are two.
    Raises: OptionError for a negative n, or at the first step of a run that does not measure sizes.

    >>> flops(60).verdict(Trace(1, steps=[Step(0, None, 1.0, float("nan"), flops=62)])).name
    'CONTINUE'
    """

    def size(self, step: Step) -> int:
        return step.flops


@dataclass(frozen=True, slots=True)
class never(Stop):
    """Do not stop: remove every unit that may be removed.

        removed = K - min_units_per_site * sites

    >>> never().verdict(Trace(1, steps=[Step(0, None, 1.0, float("nan"))])).name
    'CONTINUE'
    """

    def verdict(self, trace: Trace) -> Verdict:
        return Verdict.CONTINUE

    def describe(self) -> str:
        return "no unit is left that may be removed"


def _goal(reached: bool) -> Verdict:
    return Verdict.REACHED if reached else Verdict.CONTINUE
