"""Beyond the paper: the same perceptrons with other activations, each trained with its own."""

from __future__ import annotations

from secateur.studies.plan import ITERATIVE, Condition, Effort, Figure, Study

ACTIVATIONS = ("relu", "softplus", "tanh", "gelu")

STUDIES = tuple(
    Study(
        name=f"activations-{name}",
        title=f"Other activations, network of {name}",
        conditions=(
            Condition("sigmoid", name),
            *(Condition(activation, f"{name}-{activation}") for activation in ACTIVATIONS),
        ),
        figures=(Figure(f"activations-{name}", ITERATIVE),),
        quick=Effort(seeds=1, examples=examples, rerank_every=every),
        full=Effort(seeds=seeds),
        classes=not name.startswith("cos"),
        paper=False,
    )
    for name, seeds, examples, every in (
        ("cos-small", 50, None, 1),
        ("cos-big", 50, 500, 1),
        ("diamond", 50, 500, 1),
        ("rshape", 50, 500, 1),
        ("mnist-acc99", 20, 1_000, 2),
        ("mnist-deep", 20, 1_000, 2),
    )
)
