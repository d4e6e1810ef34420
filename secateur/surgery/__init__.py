"""Making the network physically smaller, and the proof that it answers as before."""

from secateur.surgery.cut import CutWarning, cut, cut_network
from secateur.surgery.graph import cut_graph
from secateur.surgery.module import cut_module
from secateur.surgery.plan import Plan, plan_cut
from secateur.surgery.verify import compare, network_for, verify

__all__ = [
    "CutWarning",
    "Plan",
    "compare",
    "cut",
    "cut_graph",
    "cut_module",
    "cut_network",
    "network_for",
    "plan_cut",
    "verify",
]
