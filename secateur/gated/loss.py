"""E(g): the error of the network with a gate on every unit. Everything that secateur asks is a question about E."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.fx import Node

from secateur import losses
from secateur.errors import (
    DataError,
    NondeterministicError,
    NonFiniteError,
    OptionError,
    RankError,
    SecateurError,
    TraceError,
    UnitError,
)
from secateur.examples import read
from secateur.gated.answers import (
    OUTPUT_TOLERANCES,
    TOLERANCES,
    answer,
    close,
    exactly,
    require_evaluation_mode,
    require_no_dropout,
)
from secateur.gated.before import Before, Under
from secateur.gated.digest import weights_digest
from secateur.gated.executor import Executor, Rows, Serial, choose, own_device
from secateur.gated.memory import Memory, memory_size
from secateur.gated.network import GatedNetwork, Off
from secateur.units import Graph, UnitSet, discover
from secateur.units.graph import Env, shape_for_one

LossFunction = Callable[[Any, Any], Tensor]
SMALLEST_TILE, LARGEST_TILE = 32, 1024
CACHED = 1 << 21
"""Elements of the largest value of a tile: measured, with two cores. Fewer keep them waiting, more leave the cache."""


@dataclass(frozen=True)
class Tile:
    """A range of the examples, on the network's device: what one pass of the network answers."""

    start: int
    stop: int
    inputs: tuple[Tensor, ...]
    target: Any

    def __len__(self) -> int:
        return self.stop - self.start


class GatedLoss:
    """E(g), the loss of the gated network summed over the examples, in float64.

        E(g) = sum_n loss(f(x_n; g), y_n)

    Examples are evaluated `tile` at a time, and tiles added up in their order; under torchrun the ranks take whole
    tiles, and each holds the same sums, to the bit. `max_memory`, in bytes or as "256MB", is how much an evaluation
    may take beside the network and its data: half for caches, half for candidates. By default a working set of some
    tens of megabytes, and caches of up to 1 GiB. It changes the pace; the tile is what sums are rounded by.

    Shape:
        gates (K,) -> scalar; (B, K) -> (B,). One gate a unit, in the order of `units`; no gates: all on.
    Units:
        those of the loss, summed over examples; lower is better.
    Raises:
        ModeError: the network is in training mode. TraceError, NoUnitsError: nothing can be pruned.
        DataError, NonFiniteError: data or targets that can't be used. NondeterministicError: the network answers
        differently when asked twice.
    Source:
        The paper (arXiv 1701.04465), section 2: E is the squared error summed over examples and outputs.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(3, 1), torch.zeros(3, 1)), loss="sse")
    >>> loss()  # 3 examples, each 1/2 (1 + 1)^2
    tensor(6., dtype=torch.float64)
    >>> loss(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    tensor([1.5000, 0.0000], dtype=torch.float64)
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: str | LossFunction = "cross_entropy",
        *,
        off: Off = "zero",
        tile: int | None = None,
        device: torch.device | str | None = None,
        max_memory: int | str | None = None,
    ) -> None:
        if off not in ("zero", "mean"):
            raise OptionError(f"off={off!r}; expected 'zero' or 'mean'")
        if tile is not None and (isinstance(tile, bool) or not isinstance(tile, int) or tile < 1):
            raise OptionError(f"tile={tile!r}; expected a number of examples, 1 or more")
        if not (isinstance(loss, str) or callable(loss)) or isinstance(loss, nn.modules.loss._Loss):
            raise OptionError(
                f"loss={loss!r}; expected a name, such as 'cross_entropy', or a function (output, batch) that gives "
                "one loss for each example"
            )
        require_evaluation_mode(model)
        self.max_memory = memory_size(max_memory)
        if device is not None:
            model = model.to(own_device(device))
        self.model, self.loss, self.off, self.tile = model, loss, off, tile or SMALLEST_TILE
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.executor: Executor = choose(self.device)
        self.examples = read(data, model)
        self._target: Tensor | None = None
        self._require_same_on_all_ranks()
        self._require_fit()
        graph = Graph.trace(
            model, [x[:2].to(self.device) for x in self.examples.args], _map(self.examples.kwargs, 2, self.device)
        )
        require_no_dropout(graph)
        self._require_one_answer()
        self.tile = tile or fitting_tile(graph)
        self.units = discover(graph, off)
        self.network = GatedNetwork(graph, self.units, off)
        if off == "mean":
            with exactly(), torch.no_grad():
                self.network.take_means(self.total(lambda tile: self.network.sums(tile.inputs)))
        self._prepare()

    def on(self, data: Any) -> GatedLoss:
        """The same network, units and meaning of off on other examples: a validation set."""
        other = object.__new__(GatedLoss)
        other.__dict__.update(self.__dict__)
        other.examples = read(data, self.model)
        other._require_same_on_all_ranks()
        other._require_fit()
        other._prepare()
        return other

    def _prepare(self) -> None:
        """Check what the network answers, and turn the targets into what the loss computes with."""
        ones = torch.ones(len(self.units), dtype=torch.float64, device=self.device)
        start, stop = next(self.spans())
        inputs = self._inputs(start, stop)
        with exactly(), torch.no_grad():
            first = self._plain(start, stop)
            gated = answer(self.network(inputs, ones))
            ends = (0, stop - start - 1)  # the first alone would not see that all are compared with the first
            alone = [answer(self.network([x[at : at + 1] for x in inputs], ones)) for at in ends]
        self.dtype = first.dtype
        self.classes = first.shape[1] if first.dim() > 1 else 1
        self.tolerance = TOLERANCES.get(self.dtype, 1e-2)
        near = OUTPUT_TOLERANCES.get(self.dtype, 1e-2)
        if first.dim() == 0 or first.shape[0] != stop - start:
            raise DataError(
                f"the network answers {stop - start} examples with a tensor of shape {tuple(first.shape)}; its first "
                "dimension must count the examples"
            )
        if not bool(first.isfinite().all()):
            bad = int((~first.isfinite()).reshape(len(first), -1).any(1).nonzero()[0])
            raise NonFiniteError(f"the network's answer to example {bad} holds NaN or infinity; it can't be scored")
        if not close(first, gated, near):
            raise TraceError(
                f"the captured graph does not answer as {type(self.model).__name__} does; hooks, or code that "
                "depends on more than its inputs, can't be captured. Put that code into forward()."
            )
        # Kernels for one example may add in another order: hence 10.
        if not all(close(first[at : at + 1], one, 10 * near) for at, one in zip(ends, alone, strict=True)):
            raise TraceError(
                f"{type(self.model).__name__} answers an example differently in other company: something couples the "
                "examples of a batch. Units can't be scored example by example then."
            )
        self._target = None
        network, tile = self.network, min(self.tile, len(self.examples))
        self.memory = Memory.of(self.max_memory, network.graph, network.readings, tile, self.dtype)
        self._before = Before(self.network, self.examples, self.memory.cache // 2)
        self._under = Under(self.memory.cache // 2)
        if self.loss == "self":
            self._target = self.outputs(ones).to(torch.float64)
        elif isinstance(self.loss, str):
            losses.resolve(self.loss)
            if self.examples.target is None:
                raise DataError(f"loss {self.loss!r} needs targets; pass (x, y), or use loss='self', which needs none")
            shape = (len(self.examples), *first.shape[1:])
            self._target = losses.prepare_target(self.loss, shape, self.examples.target)
        self.per_example()  # a first pass over all: NaN in a loss shows now, not after an hour

    def _require_one_answer(self) -> None:
        """Raises: NondeterministicError where the network answers differently when it is asked twice."""
        span = next(self.spans())
        with exactly(), torch.no_grad():
            first, second = self._plain(*span), self._plain(*span)
        if first.isfinite().all() and not close(first, second, OUTPUT_TOLERANCES.get(first.dtype, 1e-2)):
            raise NondeterministicError(
                f"{type(self.model).__name__} gave two answers to the same examples; scoring needs a network that is a "
                "function of its input. Switch off dropout, sampling and noise in evaluation mode."
            )

    def _require_same_on_all_ranks(self) -> None:
        """Raises: RankError, on every rank, where the ranks of a distributed run hold other weights or examples."""
        if self.executor.size > 1:
            mine = {"weights": weights_digest(self.model), "examples": self.examples.digest}
            found = self.executor.gather(mine)
            for key in mine:
                if len({held[key] for held in found}) > 1:
                    raise RankError(
                        f"the ranks hold different {key}; expected the same on each. Load them from a file, or draw "
                        "them with a seed that does not depend on the rank."
                    )

    def _require_fit(self) -> None:
        """Raises: DataError where the network can't run on the inputs."""
        try:
            with torch.no_grad():
                self._plain(0, min(2, len(self.examples)))
        except SecateurError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            shapes = ", ".join(f"{tuple(x.shape)} {x.dtype}" for x in self.examples.inputs)
            dtypes = ", ".join(sorted({str(parameter.dtype) for parameter in self.model.parameters()})) or "no type"
            raise DataError(
                f"{type(self.model).__name__}, with parameters of {dtypes}, can't run on inputs of {shapes}: {error}. "
                "Convert the inputs (x.float(), x.reshape(...)), or the network."
            ) from error

    @property
    def targets(self) -> Tensor:
        """The targets as the user gave them: what a metric compares the answers with."""
        if self.examples.target is None:
            raise DataError("the data has no targets, so it has no metrics; pass (x, y)")
        return self.examples.target

    def spans(self) -> Iterator[tuple[int, int]]:
        """The tiles, (start, stop) in global order: fixed by `tile` alone."""
        for start in range(0, len(self.examples), self.tile):
            yield start, min(start + self.tile, len(self.examples))

    def tiles(self) -> Iterator[Tile]:
        for start, stop in self.spans():
            yield self._tile(start, stop)

    def total(self, function: Callable[[Tile], Tensor]) -> Tensor:
        """The sum over the tiles, in their order, of what the function gives; on every rank the same bits."""
        total = None
        for (found,) in self._map(lambda tile: (function(tile),)):
            total = found if total is None else total + found
        return cast(Tensor, total)  # there is always an example

    def collect(self, function: Callable[[Tile], Tensor]) -> Tensor:
        """What the function gives for the examples of each tile, one tile after the other, on every rank."""
        return torch.cat([found for (found,) in self._map(lambda tile: (function(tile),))])

    def _map(self, function: Callable[[Tile], Rows]) -> Iterator[Rows]:
        spans = list(self.spans())
        # A user's own loss need not be safe in threads, and a budget of memory is for one tile at a time.
        apart = self.maps and self.max_memory is None and self.device.type == "cpu"
        return self.executor.map(lambda at: function(self._tile(*spans[at])), len(spans), apart)

    def alone(self) -> GatedLoss:
        """The same E(g), evaluated by this process alone: for what only one rank does, such as a report."""
        other = object.__new__(GatedLoss)
        other.__dict__.update(self.__dict__)
        other.executor = Serial(self.executor.rank)
        return other

    def through(self, network: GatedNetwork) -> GatedLoss:
        """E(g) on the same examples of another network with the same units: one that stands in for this."""
        other = object.__new__(GatedLoss)
        other.__dict__.update(self.__dict__)
        other.network = network
        other._under = Under(0)
        other._before = Before(network, self.examples, 0)  # what this one keeps went through its own network
        return other

    def _tile(self, start: int, stop: int) -> Tile:
        return Tile(start, stop, self._inputs(start, stop), self._batch(start, stop))

    def answers(self, tile: Tile, gates: Tensor) -> Any:
        """The network's answers to the examples of a tile."""
        return self.network.graph.result(self.under(tile, gates))

    def before(self, tile: Tile) -> Env:
        """The network's values up to the first gates, which are the same under any."""
        if self._before.examples is not self.examples:  # a tile of chosen examples: see oracle/sampling.py
            return self.network.before(self.network.graph.leaves(tile.inputs, self.device))
        return self._before((tile.start, tile.stop), tile.inputs, self.device)

    def under(self, tile: Tile, gates: Tensor, keep: Collection[Node] = ()) -> Env:
        """The network's values under these gates: its answer, and those of `keep`. They are not to be changed."""
        before = self.before(tile)
        stamp = self._before.stamp
        if gates.requires_grad or stamp is None or self._before.examples is not self.examples:
            return self.network.after(before, gates, keep)
        span = tile.start, tile.stop
        return self._under(span, stamp, gates, before, keep, lambda nodes: self.network.after(before, gates, nodes))

    def _inputs(self, start: int, stop: int) -> tuple[Tensor, ...]:
        return tuple(x[start:stop].to(self.device) for x in self.examples.inputs)

    def _batch(self, start: int, stop: int) -> Any:
        """What the loss receives beside the output: prepared targets, or the user's batch for the user's own loss."""
        if self._target is not None:
            return self._target[start:stop].to(self.device)
        return self.examples.batch(start, stop, self.device)

    def _plain(self, start: int, stop: int) -> Tensor:
        inputs = self._inputs(start, stop)
        keywords = self.examples.keywords
        return answer(self.model(**dict(zip(keywords, inputs, strict=True))) if keywords else self.model(*inputs))

    def losses(self, output: Any, tile: Tile) -> Float64[Tensor, " examples"]:
        """The loss of each example of a tile, given the network's answer. Works under torch.func for named losses."""
        if isinstance(self.loss, str):
            return losses.resolve(self.loss)(answer(output), tile.target)
        values = self.loss(output, tile.target)
        if not isinstance(values, Tensor) or values.shape != (len(tile),):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise DataError(
                f"the loss function gave {got} for {len(tile)} examples; expected a vector, one loss for each"
            )
        return values.to(torch.float64)

    @property
    def maps(self) -> bool:
        """Whether the loss may be mapped over candidates by torch.func: a user's own function need not be able to."""
        return isinstance(self.loss, str)

    def gates(self, alive: Tensor | None = None) -> Float64[Tensor, " units"]:
        """1 for the units alive (positions), 0 for the others."""
        if alive is None:
            return torch.ones(len(self.units), dtype=torch.float64, device=self.device)
        gates = torch.zeros(len(self.units), dtype=torch.float64, device=self.device)
        gates[alive.to(self.device)] = 1.0
        return gates

    def __call__(self, gates: Float[Tensor, "*batch units"] | None = None) -> Float64[Tensor, "*batch"]:
        gates = self._gates(gates)
        if gates.dim() == 2:
            return torch.stack([self(row) for row in gates]) if len(gates) else gates.new_zeros(0)
        if torch.is_grad_enabled() and gates.requires_grad and self.executor.size > 1:
            return self.alone()(gates)  # a graph of operations does not reach over processes
        return self.total(lambda tile: self.tile_losses(tile, gates).sum())

    def per_example(self, gates: Float[Tensor, " units"] | None = None) -> Float64[Tensor, " examples"]:
        """The loss of each example under these gates: what E adds up."""
        gates = self._gates(gates)
        with torch.no_grad():
            return self.collect(lambda tile: self.tile_losses(tile, gates))

    def tile_losses(self, tile: Tile, gates: Tensor) -> Float64[Tensor, " examples"]:
        """The losses of one tile, refused where they are not finite."""
        with exactly():
            values = self.losses(self.answers(tile, gates), tile)
        return finite(values, tile, gates, self.units)

    def measure(self, gates: Float[Tensor, " units"] | None = None) -> tuple[Float64[Tensor, ""], Tensor]:
        """E(g), and the network's answers to all examples, in one pass."""
        gates = self._gates(gates)

        def both(tile: Tile) -> Rows:
            output = self.answers(tile, gates)
            return finite(self.losses(output, tile), tile, gates, self.units).sum(), answer(output)

        with exactly(), torch.no_grad():
            errors, answers = zip(*self._map(both), strict=True)
        return functools.reduce(torch.add, errors), torch.cat(answers)

    def outputs(self, gates: Float[Tensor, " units"] | None = None) -> Tensor:
        """The network's answers to all examples under these gates."""
        gates = self._gates(gates)
        with exactly(), torch.no_grad():
            return self.collect(lambda tile: answer(self.answers(tile, gates)))

    def gradient(self, gates: Float[Tensor, " units"] | None = None) -> Float64[Tensor, " units"]:
        """dE/dg, exact, by one backward pass."""
        gates = self._gates(gates)

        def slope(tile: Tile) -> Tensor:
            leaf = gates.detach().clone().requires_grad_(True)
            with torch.enable_grad():
                return torch.autograd.grad(self.tile_losses(tile, leaf).sum(), leaf)[0]

        return self.total(slope)

    def curvature(
        self, gates: Float[Tensor, " units"] | None = None, units: Tensor | None = None, chunk: int = 64
    ) -> Float64[Tensor, " asked"]:
        """d2E/dg_u2 for each of these units (positions; all by default), exact: the gradient of the gradient.

        d2E/dg_u2 = e_u . grad (e_u . grad E(g))
        """
        gates = self._gates(gates).detach()
        asked = torch.arange(len(self.units), device=self.device) if units is None else units.to(self.device)

        def of_tile(tile: Tile) -> Tensor:
            before, network = self.before(tile), self.network

            def error(g: Tensor) -> Tensor:
                return self.losses(network.graph.result(network.after(before, g)), tile).sum()

            def second(unit: Tensor) -> Tensor:
                direction = (torch.arange(len(gates), device=gates.device) == unit).to(gates.dtype)
                # Not torch.func.jvp: threads share its levels, and tiles run side by side.
                row = torch.func.grad(lambda g: torch.func.grad(error)(g) @ direction)(gates)
                return row @ direction

            parts = asked.split(chunk)
            if self.maps:
                return torch.cat([torch.func.vmap(second)(part) for part in parts])
            return torch.stack([second(unit) for unit in asked])

        with exactly():
            return self.total(of_tile)

    def _gates(self, gates: Tensor | None) -> Tensor:
        if gates is None:
            return self.gates()
        if not isinstance(gates, Tensor) or gates.dim() not in (1, 2) or gates.shape[-1] != len(self.units):
            got = tuple(gates.shape) if isinstance(gates, Tensor) else type(gates).__name__
            raise UnitError(
                f"gates are {got}; expected a tensor ({len(self.units)},) or (B, {len(self.units)}): one a unit"
            )
        gates = gates.to(self.device, torch.float64)
        if not bool(gates.detach().isfinite().all()):
            raise NonFiniteError("a gate is NaN or infinite; gates are numbers, 0 for off and 1 for on")
        return gates


def finite(values: Tensor, tile: Tile, gates: Tensor, units: UnitSet) -> Tensor:
    """Raises: NonFiniteError, naming the example, where a loss is NaN or infinite."""
    fine = values.detach().isfinite()
    if not bool(fine.all()):
        bad = tile.start + int((~fine).nonzero()[0])
        off = int((gates.detach() == 0).sum())
        state = f"with {off} of {len(units)} units off" if off else "of the untouched network"
        raise NonFiniteError(f"the loss of example {bad} is NaN or infinite {state}; it can't be compared")
    return values


def fitting_tile(graph: Graph) -> int:
    """How many examples a tile holds where nothing is said: a power of two, so that the network's largest value
    does not leave the cache. It follows from the network alone, so the same run has the same tiles anywhere."""
    values = [node for node in graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    largest = max((torch.Size(shape_for_one(node)).numel() for node in values), default=1)
    fits = CACHED // max(1, largest)
    return min(LARGEST_TILE, max(SMALLEST_TILE, 1 << (fits.bit_length() - 1) if fits else 0))


def _map(values: dict[str, Tensor], count: int, device: torch.device) -> dict[str, Tensor]:
    return {key: value[:count].to(device) for key, value in values.items()}
