"""diamond and rshape: is a point inside a shape?"""

from __future__ import annotations

from secateur.studies.plan import ITERATIVE, SINGLE, Condition, Effort, Figure, Study, gain_figures

# With every unit off the paper's nets answer a constant and are right on half of the points, so their E lies between
# 1/4 and 1/2 an example: 24,300 to 48,600 points for the diamond, 33,000 to 66,000 for the other. If both had as many,
# a grid of 200 x 200 points is the guess that fits; it scales the paper's curves in our figures, and nothing else.
GRID = 40_000

# Two trainings, since the second order hangs on it. Stopped by Adam at the paper's accuracy a network is far from any
# minimum: the recursion, wrong for the first layer, finds harmless units there (scores below 0) that are not, and
# breaks at once. Trained by L-BFGS it holds for a while and then breaks at one stroke, as the paper's does.

STUDIES = tuple(
    Study(
        name=name,
        title=f"{shape}, 2-50-50-2 sigmoid",
        conditions=(Condition("Adam", name), Condition("L-BFGS", f"{name}-lbfgs")),
        figures=(
            Figure(f"{name}-{ITERATIVE}", ITERATIVE, f"{name}-{ITERATIVE}-method", f"{name}-{ITERATIVE}-accuracy"),
            Figure(f"{name}-{SINGLE}", SINGLE),
        ),
        quick=Effort(seeds=2),
        full=Effort(seeds=50, gains=1001),
        start=start,
        paper_examples=GRID,
        gains=gain_figures(name),
    )
    for name, shape, start in (("diamond", "Diamond", 0.992), ("rshape", "Random shape", 0.986))
)
