"""mnist-acc99 and mnist-deep: the paper's perceptrons on 5,000 digits of 20x20, by both algorithms."""

from __future__ import annotations

from secateur.studies.plan import ITERATIVE, SINGLE, Condition, Effort, Figure, Study, gain_figures

STUDIES = tuple(
    Study(
        name=name,
        title=f"MNIST, {sizes} sigmoid",
        conditions=(Condition("Adam", name), Condition("Adam, then L-BFGS", f"{name}-lbfgs")),
        figures=tuple(
            Figure(f"{name}-{schedule}", schedule, f"{name}-{schedule}-method", f"{name}-{schedule}-accuracy")
            for schedule in (ITERATIVE, SINGLE)
        ),
        quick=Effort(seeds=2, gains=51),
        full=Effort(seeds=20, gains=1001),
        start=start,
        paper_examples=5_000,
        gains=gain_figures(name),
    )
    for name, sizes, start in (("mnist-acc99", "400-100-10", 0.998), ("mnist-deep", "400-50-50-10", 1.0))
)
