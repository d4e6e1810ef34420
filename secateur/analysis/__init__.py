"""Questions about E beyond the next removal."""

from secateur.analysis.gain import gain_curve
from secateur.analysis.interactions import interactions

__all__ = ["gain_curve", "interactions"]
