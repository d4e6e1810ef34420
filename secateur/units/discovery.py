"""The units of a network: let the labels flow, see which end whole at a reader, tell why the others don't."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor
from torch.fx import Node

from secateur.errors import NoUnitsError, RefusedUnitError, UnitError
from secateur.types import Refusal, Site, Unit
from secateur.units import rules
from secateur.units.flow import Flow
from secateur.units.graph import Graph, argument, module_path, operator_name, source_line
from secateur.units.labels import CONSTANT, owners, squash, varying, widest

NOBODY = -1


@dataclass(frozen=True)
class Reading:
    """Where units are read: `owner[i]` is the unit in index i of dimension `dim` of the operator's input (NOBODY:
    none)."""

    node: Node
    dim: int
    owner: Tensor

    def shape(self, value: Tensor, owner: Tensor) -> Tensor:
        """A vector along the dimension, so that it multiplies the input."""
        view = [1] * value.dim()
        view[self.dim] = -1
        return owner.view(view)


@dataclass(frozen=True)
class Incoming:
    """A parameter that makes units: slice i of dimension 0 belongs to unit owner[i]."""

    parameter: str
    owner: Tensor


class UnitSet(Sequence[Unit]):
    """The units of a network, by order of execution and index; with the places that read them and what refuses others.

    `slices` tells for each parameter and dimension the unit that owns each index: what goes when the unit goes.
    `values` tells the same of every value in the graph (of a size that the code computes: the size for one example).
    """

    def __init__(
        self,
        units: Sequence[Unit],
        sites: Sequence[Site],
        refused: Sequence[Refusal],
        readings: Sequence[Reading],
        incoming: Sequence[Incoming],
        slices: Mapping[str, Mapping[int, Tensor]],
        values: Mapping[Node, Any],
    ) -> None:
        self._units = tuple(units)
        self.sites = tuple(sites)
        self.refused = tuple(refused)
        self.readings = tuple(readings)
        self.incoming = tuple(incoming)
        self.slices = slices
        self.values = values
        self._position = {unit.name: at for at, unit in enumerate(self._units)}

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units)

    @overload
    def __getitem__(self, index: int | str) -> Unit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Unit]: ...
    def __getitem__(self, index: int | str | slice) -> Unit | Sequence[Unit]:
        return self._units[self.position(index) if isinstance(index, str) else index]

    def __repr__(self) -> str:
        places = ", ".join(f"{site.layer}: {len(site.units)} {site.kind}s" for site in self.sites)
        return f"UnitSet({len(self)} units; {places})"

    def position(self, unit: Unit | str | int) -> int:
        """Where a unit stands; accepts the unit, its name, or the position itself.

        Raises: RefusedUnitError, with the reason, where its layer's units were refused; UnitError for any other.
        """
        if isinstance(unit, int) and not isinstance(unit, bool):
            if not 0 <= unit < len(self):
                raise UnitError(f"unit {unit} does not exist: there are {len(self)}, counted from 0")
            return unit
        name = unit.name if isinstance(unit, Unit) else str(unit)
        if name in self._position:
            return self._position[name]
        layer = name.rpartition(":")[0]
        reasons = [str(refusal) for refusal in self.refused if refusal.layer == layer]
        if reasons:
            raise RefusedUnitError(f"{name} can't be removed exactly: {'; '.join(reasons)}")
        layers = sorted({site.layer for site in self.sites})
        raise UnitError(
            f"no unit is called {name!r}; units are named layer:index, and the layers are {', '.join(layers)}"
        )

    def positions(self, units: Iterable[Unit | str | int]) -> list[int]:
        """Positions of several units. Raises: UnitError where one comes twice."""
        found = [self.position(unit) for unit in units]
        if len(set(found)) < len(found):
            twice = sorted({self[at].name for at in found if found.count(at) > 1})
            raise UnitError(f"these units are given more than once: {', '.join(twice)}")
        return found

    def kept(self, shape: Sequence[int], owner_of: Mapping[int, Tensor], gone: Tensor) -> list[Tensor]:
        """The indices of each dimension that are left when the units marked in `gone` (K,) are removed."""
        marked = torch.cat((gone, gone.new_zeros(1)))  # NOBODY, index -1, is never gone
        every = [torch.arange(n) for n in shape]
        return [every[d][~marked[owner_of[d]]] if d in owner_of else every[d] for d in range(len(shape))]


def discover(graph: Graph, off: str = "zero") -> UnitSet:
    """All units of the graph that can be cut exactly, where off means zero, or the mean.

    Raises: NoUnitsError, with every refusal, where there are none.
    """
    flow = Flow(graph)
    for node in graph.nodes:
        rules.apply(flow, node)
    for item in graph.output:
        if isinstance(item, Node):
            flow.labels.refuse(flow.of(item), None, "is an output of the network")
    if off == "mean":
        _refuse_means(flow)
    classes = _whole_slices(flow)
    number, refused = _number_units(flow, classes)
    if not number:
        reasons = "\n  ".join(str(refusal) for refusal in refused) or "it has no linear or convolution between others"
        raise NoUnitsError(f"{type(graph.model).__name__} has no unit that can be removed exactly:\n  {reasons}")

    owner_of_class = torch.full((flow.labels.count,), NOBODY)
    for at, label in enumerate(number):
        owner_of_class[label] = at

    def owner(labels: Tensor) -> Tensor:
        return owner_of_class[classes[labels]]

    units = [Unit(layer, index, kind) for layer, index, kind in number.values()]
    slices = {name: {dim: owner(labels) for dim, labels in dims.items()} for name, dims in flow.slices.items()}
    slices |= {
        name: {dim: owner_of_class[label] for dim, label in _owners(classes[labels]).items()}
        for name, labels in flow.elements.items()
    }
    values = {node: _each(labels, lambda t: _owned(classes, owner_of_class, t)) for node, labels in flow.values.items()}
    readings = [Reading(r.node, r.dim, owner(r.columns)) for r in flow.readers]
    incoming = [
        Incoming(name, rows)
        for name, rows in {name: owner(maker.rows) for maker in flow.makers for name in maker.parameters}.items()
    ]
    sites = _sites(units, flow, owner, readings)
    return UnitSet(units, sites, refused, readings, incoming, slices, values)


def _refuse_means(flow: Flow) -> None:
    """With off="mean" a cut adds a constant to the reader's bias: refuse the units of readers where that is not
    exact."""
    calls = Counter(argument(reader.node, 1) for reader in flow.readers)
    for reader in flow.readers:
        node, contraction = reader.node, rules.RULES[operator_name(reader.node)].contraction
        bias = argument(node, 2)
        if contraction and contraction.pads(node):
            flow.labels.refuse(
                reader.columns, node, "its mean can't move into the bias of a reader that pads with zeros"
            )
        if calls[argument(node, 1)] > 1 or (bias is not None and len(bias.users) > 1):
            flow.labels.refuse(reader.columns, node, "its mean can't move into a bias that is used more than once")
        if bias is not None and bias not in flow.graph.names:
            flow.labels.refuse(reader.columns, node, "its mean can't move into a bias that is computed")


def _whole_slices(flow: Flow) -> Tensor:
    """Join labels until in every tensor each class fills whole slices of one dimension: a cut must leave rectangles."""
    while True:
        classes = flow.labels.resolve()
        again = False
        for labels in _distinct(flow):
            (thin,) = squash(labels)
            found = classes[thin]
            if len(varying(found)) > 1 and owners(found) is None:
                keep = widest(found)
                flow.labels.join_along(thin, tuple(d for d in range(thin.dim()) if d != keep))
                again = True
        if not again and not _join_broadcasts(flow, classes):
            return classes


def _join_broadcasts(flow: Flow, classes: Tensor) -> bool:
    """Join what is broadcast with the units that it meets, where each of its elements meets one alone; once all are
    joined, refuse the others. Returns whether any were joined."""
    again = False
    for broadcast in flow.broadcasts:
        labels, met, alone = torch.broadcast_tensors(*broadcast.meets(classes))
        apart = alone & (labels > CONSTANT) & (classes[labels] != classes[met])
        if bool(apart.any()):
            flow.join(broadcast.node, labels[apart], met[apart])
            again = True
    if not again:
        for broadcast in flow.broadcasts:
            labels, _, alone = torch.broadcast_tensors(*broadcast.meets(classes))
            flow.labels.refuse(labels[~alone], broadcast.node, "is broadcast over other units")
    return again


def _distinct(flow: Flow) -> Iterator[Tensor]:
    seen = set()
    for value in itertools.chain(flow.values.values(), flow.elements.values()):
        for labels in rules.tensors(value):
            if id(labels) not in seen:
                seen.add(id(labels))
                yield labels


def _number_units(flow: Flow, classes: Tensor) -> tuple[dict[int, tuple[str, int, str]], list[Refusal]]:
    """Class -> (layer, index, kind) for the units, in order of execution and index; and what was refused."""
    read = {int(c) for reader in flow.readers for c in classes[reader.columns].unique()}
    apart = flow.labels.resolve(through_fixed=False)  # each with what stopped it, not what stopped others like it
    stopped: dict[int, tuple[Node | None, str]] = {}
    for stop in flow.labels.stops:
        for c in apart[stop.labels].tolist():
            stopped.setdefault(c, (stop.node, stop.reason))
    number: dict[int, tuple[str, int, str]] = {}
    refused: dict[tuple[str, Node | None, str], int] = defaultdict(int)
    seen: set[int] = set()
    for maker in flow.makers:
        layer = maker.parameters[0].rpartition(".")[0] or maker.parameters[0]
        kind = "neuron" if operator_name(maker.node) == "aten.linear.default" else "channel"
        for index, (c, part) in enumerate(zip(classes[maker.rows].tolist(), apart[maker.rows].tolist(), strict=True)):
            if part in seen:
                continue
            seen.add(part)
            if part in stopped:
                refused[(layer, *stopped[part])] += 1
            elif c not in read:
                refused[(layer, None, "is read by no linear or convolution")] += 1
            else:
                number[c] = (layer, index, kind)
    return number, [
        Refusal(
            layer,
            count,
            operator_name(node) if node else "output",
            module_path(node) if node else "",
            source_line(node) if node else "",
            reason,
        )
        for (layer, node, reason), count in refused.items()
    ]


def _sites(
    units: Sequence[Unit], flow: Flow, owner: Callable[[Tensor], Tensor], readings: Sequence[Reading]
) -> list[Site]:
    """Units of a layer that pass through the same tensors form a site, so no tensor is emptied while each keeps one."""
    passes: dict[int, list[int]] = defaultdict(list)
    for at, labels in enumerate(_distinct(flow)):
        (thin,) = squash(labels)
        for unit in owner(thin).unique().tolist():
            passes[unit].append(at)
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
    for at, unit in enumerate(units):
        groups[(unit.layer, tuple(passes[at]))].append(at)
    sites = []
    for (layer, _), members in groups.items():
        inside = set(members)
        made = [m.parameters[0] for m in flow.makers if inside & set(owner(m.rows).tolist())]
        makers = [name.rpartition(".")[0] or name for name in dict.fromkeys(made)]
        readers = dict.fromkeys(module_path(r.node) for r in readings if inside & set(r.owner.tolist()))
        sites.append(Site(layer, units[members[0]].kind, tuple(members), tuple(makers), tuple(readers)))
    return sites


def _owners(labels: Tensor) -> Mapping[int, Tensor]:
    return owners(labels) or {}


def _owned(classes: Tensor, owner_of_class: Tensor, labels: Tensor) -> dict[int, Tensor]:
    """dimension -> the unit that owns each index, for a value whose units fill whole slices."""
    found = owners(classes[squash(labels)[0]])
    return {d: owner_of_class[label] for d, label in (found or {}).items()}


def _each(value: Any, function: Callable[[Tensor], Any]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    return [_each(item, function) for item in value] if isinstance(value, (list, tuple)) else value
