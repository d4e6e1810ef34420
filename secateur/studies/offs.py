"""Beyond the paper: a unit that is off gives nothing, or its mean."""

from __future__ import annotations

from secateur.studies.plan import BEYOND, ITERATIVE, Condition, Effort, Figure, Study

STUDIES = tuple(
    Study(
        name=f"off-{name}",
        title=f"What off means, network of {name}",
        conditions=(Condition("off = zero", name), Condition("off = mean", name, off="mean")),
        figures=(Figure(f"off-{name}", ITERATIVE),),
        quick=Effort(seeds=1, examples=examples, rerank_every=every),
        full=Effort(seeds=BEYOND),
        criteria=("oracle", "taylor1", "taylor2"),
        classes=not name.startswith("cos"),
        paper=False,
    )
    for name, examples, every in (
        ("cos-small", None, 1),
        ("mnist-acc99", 1_000, 2),
        ("mnist-deep", 1_000, 5),
    )
)
