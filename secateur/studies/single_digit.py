"""mnist-test-single-digit-0, -1, -2: one digit against the rest, on raw pixels, poorly trained on purpose."""

from __future__ import annotations

from secateur.studies.plan import ITERATIVE, SINGLE, Condition, Effort, Figure, Study, gain_figures

# "test" it says, but E reaches 24,488, and two softmax outputs cannot err by more than 1 an example: these are sums
# over more than the 10,000 test digits. If they are the 60,000 others, E with every unit off is 0.10 to 0.14 an
# example, as it must be where one in ten is the digit.
TRAINING_DIGITS = 60_000

STUDIES = tuple(
    Study(
        name=(name := f"mnist-test-single-digit-{digit}"),
        title=f"MNIST, {digit} against the rest, 784-100-2 sigmoid and softmax, raw pixels",
        conditions=(Condition("784-100-2", name),),
        figures=(Figure(name, ITERATIVE, error=name), Figure(f"{name}-single-pass", SINGLE)),
        quick=Effort(seeds=1, examples=2_000, gains=51),
        full=Effort(seeds=20, data={"rank": 20_000}, gains=201),
        start=start,
        paper_examples=TRAINING_DIGITS,
        gains=gain_figures(name),
        mnist=True,
    )
    for digit, start in ((0, 0.9757), (1, 0.9881), (2, 0.9513))
)
