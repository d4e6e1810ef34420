"""The words that every layer uses: Unit, Site, Refusal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest thing that can be removed whole: one neuron, one channel.

    `layer` is the module path of the layer that makes the unit (the first in order of execution, where several make it
    together), `index` its output index there, `kind` "neuron" or "channel".
    """

    layer: str
    index: int
    kind: str

    @property
    def name(self) -> str:
        return f"{self.layer}:{self.index}"


@dataclass(frozen=True, slots=True)
class Site:
    """A place that holds units of one kind: the neurons of a layer, the channels of a residual stage.

    `units` are positions in the UnitSet; `makers` and `readers` are module paths, in order of execution.
    """

    layer: str
    kind: str
    units: tuple[int, ...]
    makers: tuple[str, ...]
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Units that cannot be removed exactly: how many, made where, stopped by which operator, in which line, and why."""

    layer: str
    count: int
    operator: str
    module: str
    source: str
    reason: str

    def __str__(self) -> str:
        units = f"{self.count} unit{'s' if self.count > 1 else ''} of {self.layer}"
        if self.operator == "output":
            return f"{units}: {self.reason}"
        where = f" in {self.module}" if self.module else ""
        line = f" ({self.source})" if self.source else ""
        return f"{units}: {self.reason}, at {self.operator}{where}{line}"
