"""Beyond the paper: LeNet-300-100, LeNet-5 and ResNet-8, with ReLU and cross-entropy."""

from __future__ import annotations

from secateur.studies.plan import ITERATIVE, SINGLE, Condition, Effort, Figure, Study

STUDIES = tuple(
    Study(
        name=name,
        title=f"{title} on MNIST, ReLU, cross-entropy",
        conditions=(Condition(title, name, loss="cross_entropy"),),
        figures=(Figure(f"{name}-{ITERATIVE}", ITERATIVE), Figure(f"{name}-{SINGLE}", SINGLE)),
        quick=Effort(seeds=1, examples=examples, rerank_every=every, training={"epochs": 1}),
        full=Effort(seeds=20, examples=5 * examples, rerank_every=full_every),
        criteria=("oracle", "taylor1", "taylor2", "magnitude", "random"),
        mnist=True,
        paper=False,
    )
    for name, title, examples, every, full_every in (
        ("lenet-300-100", "LeNet-300-100", 1_000, 25, 1),
        ("lenet-5", "LeNet-5", 200, 60, 5),
        ("resnet-8", "ResNet-8", 100, 30, 2),
    )
)
