"""d2E/dg2 of single gates, exact: in closed form where a dense chain follows, by two backward passes elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from secateur.gated import GatedLoss, Tile, exactly, finite
from secateur.oracle.tail import Front, chunks, find_fronts
from secateur.units.graph import Env, Graph, argument, operator_name, shape_for_one
from secateur.units.rules import RULES

LINEAR = "aten.linear.default"


def second_derivatives(loss: GatedLoss, gates: Tensor, units: Tensor) -> Tensor:
    """d2E/dg_u2 for each of these units, exact: agrees with GatedLoss.curvature, which runs the whole network.

    Shape: gates (K,), units (n,) positions, on in `gates` -> (n,) float64.
    """
    dense, others = [], []
    for front in find_fronts(loss.network, units.tolist()):
        chain = chain_behind(loss, front)
        (others if chain is None else dense).append(front if chain is None else Chain(loss, gates, front, chain))

    def curvatures(tile: Tile) -> Tensor:
        found = torch.zeros(len(units), dtype=torch.float64, device=gates.device)
        for chain in dense:
            found[chain.front.candidates] = chain.curvatures(tile)
        if others:
            _twice_backward(found, loss, gates, tile, others)
        return found

    return loss.total(curvatures)


def derivatives(graph: Graph, node: Node, source: Node, env: Env) -> tuple[Tensor, Tensor]:
    """s'(x) and s''(x) of an operator that acts on each element of `source` alone, as the graph runs it."""
    with torch.enable_grad():
        x = env[source].detach().requires_grad_()
        first = _slope(graph.run({**env, source: x}, (node,), keep=(node,))[node].sum(), x)
        return first.detach(), _slope(first.sum(), x).detach()


def _slope(of: Tensor, at: Tensor) -> Tensor:
    if not of.requires_grad:
        return torch.zeros_like(at)
    (found,) = torch.autograd.grad(of, at, create_graph=True, allow_unused=True)
    return torch.zeros_like(at) if found is None else found


def chain_behind(loss: GatedLoss, front: Front) -> tuple[Node, ...] | None:
    """The front's reader and what follows it one by one, each a linear layer or an activation and read by the next
    alone; None where the reader is no such linear layer."""
    graph, tail = loss.network.graph, front.tail
    if tail.again or len(tail.first) != 1 or not loss.maps or not _is_linear(tail.first[0]):
        return None
    chain, varying = [*tail.first], graph.descendants(graph.inputs)
    while chain[-1] not in graph.output:
        (node, *others) = [user for user in tail.nodes if chain[-1] in user.all_input_nodes]
        known = _is_linear(node) or is_activation(node, chain[-1])
        if others or not known or argument(node, 0) is not chain[-1] or len(varying & {*node.all_input_nodes}) > 1:
            break
        chain.append(node)
    return tuple(chain)


def is_activation(node: Node, source: Node) -> bool:
    """Whether an operator acts on each element of this operand alone, and broadcasts none of them."""
    rule = RULES.get(operator_name(node))
    return rule is not None and rule.pointwise and shape_for_one(node) == shape_for_one(source)


def _is_linear(node: Node) -> bool:
    return operator_name(node) == LINEAR and len(shape_for_one(node)) == 2


@dataclass(frozen=True, eq=False)
class Chain:
    """Candidates behind whose reader a dense chain stands: z_1 = W_1 x, h_1 = s_1(z_1), z_2 = W_2 h_1, ... , and then
    anything, L(z_m).

        d2L/dg_u2 = sum_l sum_i dL/dh_li s_l''(z_li) (dz_li/dg_u)^2 + (dz_m/dg_u)' L'' (dz_m/dg_u)

    One backward pass for dL/dh serves all candidates; dz_l/dg_u = (dz_l/dz_1) W_1u x_u is a product of matrices for
    all of them at once.
    """

    loss: GatedLoss
    gates: Tensor
    front: Front
    nodes: tuple[Node, ...]

    def curvatures(self, tile: Tile) -> Tensor:
        """d2E/dg_u2 on one tile, (candidates,) float64."""
        loss, reader, tail = self.loss, self.nodes[0], self.front.tail
        columns = self.front.first[reader].to(self.gates.device)
        keep = {needed for node in (*tail.first, *tail.nodes) for needed in (node, *node.all_input_nodes)}
        with torch.no_grad(), exactly():
            env = loss.under(tile, self.gates, keep)
            end, slope = self._end(env, tile)
            value = env[argument(reader, 0)]
            value = value - loss.network.means[reader] if loss.off == "mean" else value
            steps = self._steps(env, slope.detach())
            size = loss.memory.at_once(4 * len(tile) * tail.largest * columns.shape[1])
            parts = [self._part(env, value, steps, end, slope, some) for some in columns.split(size)]
        return torch.cat(parts)

    def _end(self, env: Env, tile: Tile) -> tuple[Tensor, Tensor]:
        """The chain's last value z_m, and dL/dz_m, which depends on it in turn."""
        loss, network = self.loss, self.loss.network
        rest = [node for node in self.front.tail.nodes if node not in self.nodes]
        with torch.enable_grad():
            end = env[self.nodes[-1]].detach().requires_grad_()
            after = network.graph.run({**env, self.nodes[-1]: end}, rest, network.replace(self.gates))
            losses = loss.losses(network.graph.result(after), tile)
            finite(losses.detach(), tile, self.gates, loss.units)
            return end, _slope(losses.sum(), end)

    def _steps(self, env: Env, slope: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """For every operator behind the reader: a linear one's weight; an activation's s' and dL/dh s''."""
        steps: list[tuple[Tensor, Tensor | None]] = []
        for node in reversed(self.nodes[1:]):
            if operator_name(node) == LINEAR:
                weight = self._weight(env, node)
                steps.append((weight, None))
                slope = slope @ weight
            else:
                first, second = derivatives(self.loss.network.graph, node, argument(node, 0), env)
                steps.append((first, slope * second))
                slope = slope * first
        return steps[::-1]

    def _weight(self, env: Env, node: Node) -> Tensor:
        """Of a linear layer, with the gates of what it reads."""
        network, weight = self.loss.network, env[argument(node, 1)]
        reading = network.readings.get(node)
        if reading is None:
            return weight
        gate = torch.cat((self.gates, self.gates.new_ones(1)))[reading.owner.to(self.gates.device)]
        return weight * gate.to(weight.dtype)

    def _part(
        self,
        env: Env,
        value: Tensor,
        steps: list[tuple[Tensor, Tensor | None]],
        end: Tensor,
        slope: Tensor,
        columns: Tensor,
    ) -> Tensor:
        """The same for candidates with these columns."""
        each = columns.shape[1]
        weight = env[argument(self.nodes[0], 1)].index_select(1, columns.flatten())
        offered = value.index_select(1, columns.flatten())[:, None, :]
        found = torch.zeros(len(columns), dtype=torch.float64, device=columns.device)
        scale = offered.new_ones(1, 1, len(weight))  # before a linear layer dz/dz_1 is diagonal
        tangents: Tensor | None = None  # dz/dg_u behind one: (examples, width, candidates)

        def spread(matrix: Tensor) -> Tensor:
            whole = matrix * offered
            return whole if each == 1 else whole.unflatten(2, (-1, each)).sum(3)

        for factor, bend in steps:
            if bend is None and tangents is not None:
                tangents = factor @ tangents
            elif bend is None and len(factor) <= weight.shape[1]:  # whichever makes the smaller product first
                tangents = spread((factor * scale) @ weight)
            elif bend is None:
                tangents = factor @ spread(scale.mT * weight)
            elif tangents is not None:
                found += (bend[:, :, None] * tangents.square()).sum(1).to(torch.float64).sum(0)
                tangents = tangents * factor[:, :, None]
            else:
                if each == 1:  # the square of a product is the product of squares
                    terms = ((bend * scale.square()[:, 0]) @ weight.square()) * offered.square()[:, 0]
                else:
                    terms = (bend[:, :, None] * spread(scale.mT * weight).square()).sum(1)
                found += terms.to(torch.float64).sum(0)
                scale = scale * factor[:, None, :]
        if slope.requires_grad:
            tangents = spread(scale.mT * weight) if tangents is None else tangents
            (curved,) = torch.autograd.grad(
                slope, end, tangents.movedim(2, 0), retain_graph=True, is_grads_batched=True, materialize_grads=True
            )
            found += (curved * tangents.movedim(2, 0)).to(torch.float64).sum((1, 2))
        return found


def _twice_backward(found: Tensor, loss: GatedLoss, gates: Tensor, tile: Tile, fronts: list[Front]) -> None:
    """Each candidate's losses depend on its own gate alone, so two backward passes through the tail serve a chunk."""
    for chunk in chunks(loss, gates, tile, fronts, passes=4):
        gains = torch.ones(len(chunk.candidates), dtype=gates.dtype, device=gates.device, requires_grad=True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(chunk.losses(gains).sum(), gains, create_graph=True)
            if slope.requires_grad:  # a slope that depends on no gain is the same everywhere
                (curvature,) = torch.autograd.grad(slope.sum(), gains, allow_unused=True)
                if curvature is not None:
                    found[chunk.candidates] = curvature
