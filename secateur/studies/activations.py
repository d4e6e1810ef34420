"""Beyond the paper: the same perceptrons with other activations, each trained with its own."""

from __future__ import annotations

from secateur.studies.plan import BEYOND, ITERATIVE, Condition, Effort, Figure, Study

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
        full=Effort(seeds=BEYOND),
        classes=not name.startswith("cos"),
        paper=False,
    )
    for name, examples, every in (
        ("cos-small", None, 1),
        ("cos-big", 500, 1),
        ("diamond", 500, 1),
        ("rshape", 500, 1),
        ("mnist-acc99", 1_000, 2),
        ("mnist-deep", 1_000, 2),
    )
)
