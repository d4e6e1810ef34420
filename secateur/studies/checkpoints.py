"""Beyond the paper: the same network pruned after 1, 2, 5 ... epochs of its training (claim 9)."""

from __future__ import annotations

from secateur.studies.plan import BEYOND, ITERATIVE, Condition, Effort, Figure, Study

STUDIES = (
    Study(
        name="checkpoints-mnist-acc99",
        title="Along the training, 400-100-10 sigmoid",
        conditions=tuple(
            Condition(f"after epoch {epoch}", "mnist-acc99", checkpoint=epoch) for epoch in (1, 2, 5, 10, 20, 50)
        ),
        figures=(Figure("checkpoints-mnist-acc99", ITERATIVE),),
        quick=Effort(seeds=1, examples=1_000, rerank_every=5),
        full=Effort(seeds=BEYOND),
        criteria=("oracle", "taylor1", "taylor2"),
        paper=False,
    ),
)
