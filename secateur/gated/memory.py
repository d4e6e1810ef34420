"""How much memory an evaluation may take, and what that leaves for candidates and for caches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.fx import Node

from secateur.errors import OptionError
from secateur.units import Graph
from secateur.units.graph import shape_for_one

WORKING_SET = 1 << 20
"""Elements of the largest value that a chunk of candidates makes: in float32 about what the cores' caches hold."""
COPIES = 6
"""How many values of that size live at one time: what a reader reads and gives, its gated copy, the operator's own."""
OVERHEAD = 24 << 20
"""Bytes that no tile size changes: the captured graph, Python's objects, what the allocator keeps."""
CACHE = 1 << 30
"""Bytes for caches where nothing is said."""
UNITS: Mapping[str, int] = MappingProxyType(
    {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
)


def memory_size(size: int | str | None) -> int | None:
    """Bytes, of a number or of a text such as "256MB" (10^6) or "1 GiB" (2^30).

    >>> memory_size("256MB"), memory_size("1.5 KiB"), memory_size(100), memory_size(None)
    (256000000, 1536, 100, None)
    """
    found = size
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size)
        factor = UNITS.get(match[2].upper()) if match else None
        found = int(float(match[1]) * factor) if match and factor else -1
    if found is not None and (type(found) is not int or found < 1):
        raise OptionError(f"max_memory={size!r}; expected a number of bytes, or a text such as '256MB' or '1GiB'")
    return found


@dataclass(frozen=True)
class Memory:
    """Room for the values of a chunk of candidates, in elements, and for caches, in bytes."""

    working_set: int = WORKING_SET
    cache: int = CACHE

    @classmethod
    def of(cls, limit: int | None, graph: Graph, readers: Iterable[Node], tile: int, dtype: torch.dtype) -> Memory:
        """Half of the limit, less the overhead, for caches; in the other half a tile's values, and candidates.

        Raises: OptionError where that does not hold one candidate on one tile.
        """
        if limit is None:
            return cls()
        sizes = {
            node: torch.Size(shape_for_one(node)).numel()
            for node in graph.nodes
            if isinstance(node.meta.get("val"), Tensor)
        }
        behind = graph.descendants(list(readers))
        bytes_of_one, largest = dtype.itemsize * tile, max(size for node, size in sizes.items() if node in behind)
        base = bytes_of_one * sum(sizes.values())
        needed = base + COPIES * bytes_of_one * largest
        half = (limit - OVERHEAD) // 2
        if needed > half:
            raise OptionError(
                f"max_memory is {limit:,} bytes; one candidate on a tile of {tile} examples needs "
                f"{2 * needed + OVERHEAD:,}. Allow that much, or pass a smaller tile (which may change decisions in "
                "float32)."
            )
        return cls(min(WORKING_SET, (half - base) // (COPIES * dtype.itemsize)), half)

    def at_once(self, elements: int) -> int:
        """How many candidates are evaluated together, when each makes values of so many elements."""
        return max(1, self.working_set // elements)
