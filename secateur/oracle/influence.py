"""How far a unit's removal can reach: a bound on the change of each output, by the sizes of weights and the steepest
slopes of what stands between."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.fx import Node

from secateur.gated import GatedLoss, answer
from secateur.units import Reading
from secateur.units.graph import argument, operator_name, shape_for_one
from secateur.units.lipschitz import contracted
from secateur.units.rules import RULES


def influence(loss: GatedLoss) -> Float64[Tensor, "units outputs"]:
    """How far each output can move when unit u goes off, for each 1 that its largest value lies from its mean.

        |z_c(g - e_u) - z_c(g)| <= reach_u influence_uc,    for all gates g in [0, 1]

    reach_u is the largest |value - mean| of the unit at its readers, under g. By induction over the operators: a linear
    map passes a on as |W| a, an element's function as a times its steepest slope, a maximum as the maximum, a sum as
    the sum.

    Shape:
        (K, outputs), outputs flattened; inf where an operator that no row covers stands between.
    Units:
        outputs of the network for each unit of value.
    Source:
        docs/oracle.md; interval bound propagation, S. Gowal et al. 2018, is its kin.
    """
    network, count = loss.network, len(loss.units)
    graph = network.graph
    bound: dict[Node, Tensor] = {}
    lost = torch.zeros(count, dtype=torch.bool, device=loss.device)
    for node in network.gated:
        if not isinstance(node.meta.get("val"), Tensor):
            continue
        sources = [source for source in node.all_input_nodes if source in bound]
        if node in network.readings:
            a = _read(network.readings[node], node, bound, count)
            found = contracted(graph, node, a)
            reached = a.flatten(1).amax(1) > 0
        elif sources:
            rule = RULES.get(operator_name(node))
            found = rule.lipschitz(graph, node, bound) if rule and rule.lipschitz else None
            reached = torch.stack([bound[source].flatten(1).amax(1) > 0 for source in sources]).any(0)
        else:
            continue
        shape = (count, *shape_for_one(node)[1:])
        if found is None or found.shape != shape:  # no row, or the rows are no longer the units
            lost |= reached
            found = reached.new_zeros(shape, dtype=torch.float64)
        bound[node] = found
    values = {item: item.meta["val"] for item in graph.output if isinstance(item, Node)}
    seen = answer(graph.result({**values}))
    output = next(item for item, value in values.items() if value is seen)
    reach = bound[output].flatten(1)
    return torch.where(lost[:, None], torch.inf, reach)


def _read(reading: Reading, node: Node, bound: Mapping[Node, Tensor], count: int) -> Tensor:
    """What the reader reads moves by what came before it, and at the unit's own columns by all of the unit."""
    source, owner = argument(node, 0), reading.owner
    units = torch.arange(count, device=owner.device)
    a = bound.get(source)
    if a is None:
        a = torch.zeros(count, *shape_for_one(source)[1:], dtype=torch.float64)
    view = [count] + [1] * (a.dim() - 1)
    view[reading.dim] = -1
    own = (owner == units[:, None]).view(view).to(a.device)
    return torch.where(own, 1.0, a)
