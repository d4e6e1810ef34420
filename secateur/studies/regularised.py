"""Beyond the paper: dropout and weight decay while training."""

from __future__ import annotations

from secateur.studies.plan import BEYOND, ITERATIVE, Condition, Effort, Figure, Study

STUDIES = (
    Study(
        name="regularised-mnist-acc99",
        title="Dropout and weight decay in training, 400-100-10 sigmoid",
        conditions=(
            Condition("plain", "mnist-acc99"),
            Condition("dropout 0.5", "mnist-acc99-dropout"),
            Condition("weight decay", "mnist-acc99-weight-decay"),
        ),
        figures=(Figure("regularised-mnist-acc99", ITERATIVE),),
        quick=Effort(seeds=1, examples=1_000, rerank_every=5),
        full=Effort(seeds=BEYOND),
        paper=False,
    ),
)
