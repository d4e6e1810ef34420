"""Questions about E beyond the next removal."""

from secateur.analysis.best_subset import BestSubset, best_subset, removal_order
from secateur.analysis.fault_tolerance import FaultTolerance, RemovalCurves, fault_tolerance
from secateur.analysis.fidelity import Fidelity, fidelity, oracle_states
from secateur.analysis.free import Free, free
from secateur.analysis.gain import gain_curve
from secateur.analysis.interactions import interactions
from secateur.analysis.joint import joint_errors
from secateur.analysis.knee import TOLERANCES, Knee, knee, knees
from secateur.analysis.roles import ROLES, Roles, Thresholds, roles
from secateur.analysis.scale import constant_error, error_scale
from secateur.analysis.state_fidelity import StateFidelity
from secateur.analysis.units_by_layer import UnitsByLayer, units_by_layer

__all__ = [
    "gain_curve",
    "interactions",
    "BestSubset",
    "best_subset",
    "removal_order",
    "joint_errors",
    "ROLES",
    "Roles",
    "Thresholds",
    "roles",
    "constant_error",
    "error_scale",
    "FaultTolerance",
    "RemovalCurves",
    "fault_tolerance",
    "Fidelity",
    "StateFidelity",
    "fidelity",
    "oracle_states",
    "Free",
    "free",
    "TOLERANCES",
    "Knee",
    "knee",
    "knees",
    "UnitsByLayer",
    "units_by_layer",
]
