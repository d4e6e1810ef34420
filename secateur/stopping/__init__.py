"""When to stop removing: `sc.stop.metric_drop("accuracy", 0.01) | sc.stop.fraction(0.8)`.

Goals (units, fraction, parameters, bytes, flops) are REACHED by a step that belongs to the result. Constraints
(error_rise, metric_drop, certified_drop) are VIOLATED by a step that does not: the result is the step before it.

`a | b` stops when either does; where one is reached by the very step that violates the other, the violation counts.
`a & b` stops when both do; a violation is then tolerated up to the step that reaches the goal, and no further:
`fraction(0.5) & metric_drop("accuracy", 0.01)` removes half whatever it costs, and more while the accuracy holds.

A stop is one small frozen dataclass, named as users call it in Python, on the command line and in a TOML file, and a
row of STOPS.

    face            what every stop offers, and what two of them do together: Stop, any_of, all_of
    goals           units, fraction, parameters, bytes, flops; and never
    constraints     error_rise, metric_drop, certified_drop
    options         the numbers that a stop is given: what they may be, and how exactly they are met
    spelling        stops as text and as JSON: STOPS, parse, from_dict
"""

from secateur.stopping.constraints import certified_drop, error_rise, metric_drop
from secateur.stopping.face import Stop, all_of, any_of
from secateur.stopping.goals import bytes, flops, fraction, never, parameters, units
from secateur.stopping.spelling import STOPS, from_dict, parse

__all__ = [
    "Stop",
    "units",
    "fraction",
    "error_rise",
    "metric_drop",
    "certified_drop",
    "parameters",
    "bytes",
    "flops",
    "never",
    "any_of",
    "all_of",
    "STOPS",
    "parse",
    "from_dict",
]
