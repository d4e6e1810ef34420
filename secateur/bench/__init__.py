"""Measurements: what the oracle costs, and what it buys. `secateur bench` prints what these functions give.

    subjects.py    a network with data and weights, by name
    timing.py      ways of doing one thing, interleaved in one process
    oracle.py      one round over all units, by each engine and each peer
    runs.py        whole pruning runs: seconds, decisions and errors
    compare.py     two runs side by side: the same removals? how much worse? at equal seconds?
    growth.py      seconds against examples, and against units of a site
    processes.py   several processes against one

Everything here returns plain records that JSON can hold.
"""

from secateur.bench.growth import grow_examples, grow_width
from secateur.bench.oracle import oracle_round
from secateur.bench.runs import compared_runs
from secateur.bench.subjects import DEFAULTS, Subject, make_subject
from secateur.bench.timing import machine

__all__ = [
    "DEFAULTS",
    "Subject",
    "compared_runs",
    "grow_examples",
    "grow_width",
    "machine",
    "make_subject",
    "oracle_round",
]
