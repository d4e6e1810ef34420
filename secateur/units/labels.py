"""Labels: which unit does every element of every tensor belong to?

A label is an integer; each tensor of the graph gets an integer tensor of its own shape (for one example). CONSTANT
means "the same whatever is cut, and of no extent that a cut could change" (a Python number); FIXED means "of a size
that can't change" (the network's input): what joins it can't be cut. Rules join labels that must go together; `resolve`
turns the joins into classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.fx import Node

CONSTANT = 0
FIXED = 1


@dataclass(frozen=True)
class Stop:
    """Labels that can't be cut, the operator that stops them, and the reason."""

    labels: Tensor
    node: Node | None
    reason: str


class Labels:
    """Makes labels, joins them, refuses them."""

    def __init__(self) -> None:
        self.count = 2  # CONSTANT and FIXED
        self.stops: list[Stop] = []
        self._edges: list[Tensor] = []

    def fresh(self, *shape: int) -> Tensor:
        """New labels, all different."""
        size = int(np.prod(shape)) if shape else 1
        labels = torch.arange(self.count, self.count + size)
        self.count += size
        return labels.view(shape)

    def join(self, first: Tensor, second: Tensor) -> Tensor:
        """Position by position, the two belong together; constants join nothing. Returns the merged labels."""
        first, second = torch.broadcast_tensors(first, second)
        left, right = squash(first, second)
        pairs = (left > CONSTANT) & (right > CONSTANT) & (left != right)
        if pairs.any():
            low, high = torch.minimum(left[pairs], right[pairs]), torch.maximum(left[pairs], right[pairs])
            key = torch.unique(low * self.count + high)
            self._edges.append(torch.stack((key // self.count, key % self.count)))
        if not bool((left == CONSTANT).any()):
            return first
        return torch.where(left > CONSTANT, left, right).expand(first.shape)

    def join_along(self, labels: Tensor, dims: int | tuple[int, ...]) -> Tensor:
        """All labels along these dimensions belong together. Returns one label for each line, dimensions kept."""
        representative = labels.amax(dims, keepdim=True)
        self.join(labels, representative)
        return representative

    def refuse(self, labels: Tensor, node: Node | None, reason: str) -> None:
        """These can't be cut."""
        (thin,) = squash(labels)
        found = thin[thin > FIXED].unique()
        if len(found):
            self.stops.append(Stop(found, node, reason))

    def resolve(self, through_fixed: bool = True) -> Tensor:
        """The class of each label, (count,): the smallest label that it is joined with.

        Without `through_fixed`, labels that only the FIXED ones hold together stay apart.
        """
        edges = torch.cat(self._edges, 1).numpy() if self._edges else np.zeros((2, 0), dtype=np.int64)
        if not through_fixed:
            edges = edges[:, edges[0] != FIXED]  # the smaller label of a pair comes first
        ones = np.ones(edges.shape[1], dtype=np.int8)
        count, component = connected_components(coo_matrix((ones, tuple(edges)), (self.count, self.count)), False)
        smallest = np.full(count, self.count)
        np.minimum.at(smallest, component, np.arange(self.count))
        return torch.from_numpy(smallest[component])


def squash(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The same labels with length 1 in every dimension in which all the tensors merely repeat themselves.

    Labels of a (1, 64, 112, 112) image are an expanded (1, 64, 1, 1): work on those 64 elements, not on all.
    """
    for dim in range(tensors[0].dim()):
        if all(t.stride(dim) == 0 and t.shape[dim] > 1 for t in tensors):
            tensors = tuple(t.narrow(dim, 0, 1) for t in tensors)
    return tensors


def varying(labels: Tensor) -> list[int]:
    """The dimensions along which the labels are not all the same."""
    return [
        dim
        for dim in range(labels.dim())
        if labels.shape[dim] > 1 and labels.stride(dim) != 0 and not bool((labels == labels.narrow(dim, 0, 1)).all())
    ]


def along(labels: Tensor, dim: int) -> Tensor | None:
    """One label for each index of `dim`, or None where a slice holds several."""
    lines = _lines(squash(labels)[0], dim)
    first = lines[:, :1]
    return first[:, 0].expand(labels.shape[dim]) if bool((lines == first).all()) else None


def owners(labels: Tensor) -> dict[int, Tensor] | None:
    """The dimensions that units fill in whole slices: dimension -> the label of each slice (CONSTANT: of none).

    None where some element lies outside every such slice, or in slices of two dimensions: such a tensor can't be cut.
    """
    dims = varying(labels)
    if len(dims) <= 1:
        return {dim: _lines(labels, dim)[:, 0] for dim in dims}
    found: dict[int, Tensor] = {}
    cover = torch.zeros_like(labels)
    for dim in dims:
        lines = _lines(labels, dim)
        slices = torch.where((lines == lines[:, :1]).all(1), lines[:, 0], CONSTANT)
        if bool((slices > CONSTANT).any()):
            found[dim] = slices
            shape = [1] * labels.dim()
            shape[dim] = -1
            cover = cover + (slices > CONSTANT).view(shape).long()
    return found if bool((cover == 1).all()) else None


def widest(labels: Tensor) -> int:
    """The dimension to keep apart when the others must be joined: one whose slices share no label, the longest such."""
    dims = varying(labels)

    def apart(dim: int) -> bool:
        lines = _lines(labels, dim)
        pairs = sum(len(line.unique()) for line in lines)
        return pairs == len(labels.unique())

    return max(dims, key=lambda dim: (apart(dim), labels.shape[dim]))


def _lines(labels: Tensor, dim: int) -> Tensor:
    """(indices of dim, elements in each slice)"""
    return labels.movedim(dim, 0).reshape(labels.shape[dim], -1)
