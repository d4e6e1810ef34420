"""Which whole units a network has, where they are read, and why others can't be removed exactly."""

from secateur.units.discovery import NOBODY, Reading, UnitSet, discover
from secateur.units.graph import Graph

__all__ = ["NOBODY", "Graph", "Reading", "UnitSet", "discover"]
