"""Beyond the paper: softplus standing in for ReLU while the units of a ReLU network are scored."""

from __future__ import annotations

from secateur.studies.plan import BEYOND, ITERATIVE, Condition, Effort, Figure, Study

STUDIES = tuple(
    Study(
        name=f"surrogate-{name}",
        title=f"Softplus standing in for ReLU while scoring, network of {name}",
        conditions=(Condition("relu", f"{name}-relu"),),
        figures=(Figure(f"surrogate-{name}", ITERATIVE),),
        quick=Effort(seeds=1, examples=1_000, rerank_every=5),
        full=Effort(seeds=BEYOND),
        criteria=("oracle", "taylor2", "taylor2_softplus(2)", "taylor2_softplus(10)", "taylor2_softplus(50)"),
        paper=False,
    )
    for name in ("mnist-acc99", "mnist-deep")
)
