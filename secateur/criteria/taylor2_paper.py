"""Second-order Taylor by the paper's back-propagation of second derivatives, which drops the cross terms."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.fx import Node

from secateur.errors import CriterionError
from secateur.gated import GatedLoss, Tile, answer, exactly
from secateur.oracle.curvature import derivatives, is_activation
from secateur.units.graph import argument, operator_name


def taylor2_paper(loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
    """The paper's second order, for perceptrons with squared error: exact for the last hidden layer, not before.

        score_j = - sum_n o_nj dE/do_nj + 1/2 sum_n o_nj^2 d2E/do_nj^2
        output:  dE/do_i = o_i - t_i,   d2E/do_i^2 = 1
        through an activation o = s(x):  d2E/dx^2 = d2E/do^2 s'(x)^2 + dE/do s''(x)
        through a softmax o of x:  the same with s' = o (1 - o), s'' = s' (1 - 2 o), as if outputs did not compete
        through a layer x_i = sum_j w_ji o_j:  d2E/do_j^2 = sum_i d2E/dx_i^2 w_ji^2   (cross terms of i dropped)

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        change of the error, summed over examples; the lowest goes first.
    Raises:
        CriterionError: the loss is not "sse", off is not "zero", or the network is not a plain chain of linear layers
        and activations, with a softmax at most as its answer.
    Source:
        The paper (arXiv 1701.04465), section 2.3 and its appendix.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> taylor2_paper(loss, torch.tensor([0, 1]))
    tensor([-1.5000, -1.5000], dtype=torch.float64)
    """
    if loss.loss != "sse" or loss.off != "zero":
        raise CriterionError(
            f"taylor2_paper is defined for squared error and off='zero', not for loss={loss.loss!r}, off={loss.off!r}; "
            "use loss='sse', or taylor2, which is exact in any network"
        )
    chain = _chain(loss)
    gates = loss.gates(alive)
    with torch.no_grad(), exactly():
        return loss.total(lambda tile: _tile(loss, tile, gates, chain))[alive]


taylor2_paper.estimates_error = True  # pyright: ignore[reportFunctionMemberAccess]  # its ties are those of an error


def _chain(loss: GatedLoss) -> list[tuple[Node, Node]]:
    """The operators from the output back to the first reader, each with its one input that varies.

    Raises: CriterionError where the network is not such a chain.
    """
    graph, waiting = loss.network.graph, set(loss.network.readings)
    varying = graph.descendants(graph.inputs)
    chain: list[tuple[Node, Node]] = []
    node = graph.output[0]
    while waiting:
        sources = [source for source in node.all_input_nodes if source in varying]
        linear = operator_name(node) == "aten.linear.default" and node.meta["val"].dim() == 2
        known = linear or (not chain and _is_softmax(node))
        if len(sources) != 1 or not (known or is_activation(node, sources[0])):
            raise CriterionError(
                f"taylor2_paper is defined for a plain chain of linear layers and activations; {operator_name(node)} "
                f"({node.name}) is neither. Use taylor2, which is exact in any network."
            )
        chain.append((node, sources[0]))
        waiting.discard(node)
        node = sources[0]
    return chain


def _is_softmax(node: Node) -> bool:
    """Over the outputs of an example."""
    return operator_name(node) == "aten.softmax.int" and node.meta["val"].dim() == 2 and argument(node, 1) in (1, -1)


def _tile(loss: GatedLoss, tile: Tile, gates: Tensor, chain: list[tuple[Node, Node]]) -> Tensor:
    """The scores of one tile, (K,)."""
    network = loss.network
    env = network.graph.leaves(tile.inputs, gates.device)
    network.graph.run(env, replace=network.replace(gates))
    slope = answer(network.graph.result(env)) - tile.target.to(loss.dtype)
    curvature = torch.ones_like(slope)
    scores = torch.zeros(len(gates) + 1, dtype=torch.float64, device=gates.device)
    for node, source in chain:
        if node in network.readings or operator_name(node) == "aten.linear.default":
            weight = env[argument(node, 1)]
            slope, curvature = slope @ weight, curvature @ weight.square()
        elif _is_softmax(node):
            answered = env[node]
            alone = answered * (1 - answered)
            curvature = curvature * alone.square() + slope * alone * (1 - 2 * answered)
            slope = answered * (slope - (slope * answered).sum(1, keepdim=True))  # first order is exact
        else:
            first, second = derivatives(network.graph, node, source, env)
            slope, curvature = slope * first, curvature * first.square() + slope * second
        if (reading := network.readings.get(node)) is not None:
            value, owner = env[source], reading.owner.to(gates.device)
            terms = (-value * slope + value.square() * curvature / 2).to(torch.float64).sum(0)
            scores.index_add_(0, owner % len(scores), terms)  # NOBODY, -1, is the last
            gate = torch.cat((gates, gates.new_ones(1)))[owner].to(value.dtype)
            slope, curvature = slope * gate, curvature * gate.square()
    return scores[:-1]
