"""One trace that all ranks of a distributed run hold: the first rank's is the record, and the others follow it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from secateur.errors import RankError
from secateur.gated.executor import Executor
from secateur.trace import Ranking, Step, Trace


@contextmanager
def shared(executor: Executor, begin: Callable[[], AbstractContextManager[Trace]]) -> Iterator[Trace]:
    """What `begin` opens, such as a run directory, for every rank: only the first rank opens it, and writes in it.

    Raises: on every rank what `begin` raises on the first.
    """
    with ExitStack() as stack:
        held: list[Trace] = []

        def opened() -> tuple[int, int, list[Step]]:
            held.append(stack.enter_context(begin()))
            return held[0].unit_count, held[0].removable, list(held[0].steps)

        if executor.size == 1:
            opened()
            yield held[0]
        else:
            yield SharedTrace(executor, held, *executor.share(opened))


class SharedTrace(Trace):
    """The steps on every rank; `held` is the record on the first, and empty on the others."""

    def __init__(
        self, executor: Executor, held: list[Trace], unit_count: int, removable: int, steps: list[Step]
    ) -> None:
        super().__init__(unit_count, removable, steps)
        self.executor = executor
        self.held = held

    def append(self, step: Step) -> None:
        """Record the next step. Raises: RankError on every rank where one has decided or measured otherwise."""
        lines = self.executor.gather(step.to_json())
        if len(set(lines)) > 1:
            raise RankError(
                f"the ranks differ in step {step.step}: {' / '.join(lines)}. A criterion or metric must give the same "
                "on every rank: no clock, no draws without a seed, the same machine and threads."
            )
        super().append(step)
        self.executor.share(lambda: self.held[0].append(step))

    def keep(self, ranking: Ranking) -> None:
        """Keep a ranking, in the record too."""
        super().keep(ranking)
        self.executor.share(lambda: self.held[0].keep(ranking))

    def ranking(self, step: int) -> Ranking | None:
        """The ranking made at `step`, as the record has it."""
        return self.executor.share(lambda: self.held[0].ranking(step))
