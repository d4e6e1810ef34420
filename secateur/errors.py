"""Every error that secateur raises on purpose.

    SecateurError
    ├── DataError                 data, targets or metrics that cannot be used
    ├── NonFiniteError            NaN or infinity in an input, an output or a loss
    ├── ModeError                 training mode, or dropout that is active
    ├── NondeterministicError     the network, or the data, answers differently when asked twice
    ├── UnknownNameError          no criterion, engine, loss, metric or stop of that name
    ├── OptionError               options that do not go together, or out of range
    ├── TraceError                torch.export cannot capture the network
    ├── UnitError                 no such unit
    │   ├── NoUnitsError          the network has nothing that can be removed exactly
    │   └── RefusedUnitError      a unit that cannot be removed exactly
    ├── CriterionError            a criterion that does not apply to this network or loss
    ├── CutMismatch               the smaller network is not the gated one
    ├── RankError                 another process of a distributed run is gone, or is of another mind
    ├── BundleError               a bundle or weights file that is damaged, hostile or of another kind
    └── RunError                  a run directory that cannot be used
        ├── RunLockedError        another process is in it
        └── RunMismatchError      it holds a run with another configuration

A message says what came, what was expected, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SecateurError(Exception):
    """The root: catch this to catch every error that secateur raises on purpose."""


class DataError(SecateurError, ValueError):
    """Data, targets or metrics that cannot be used."""


class NonFiniteError(SecateurError, ValueError):
    """NaN or infinity in an input, an output or a loss."""


class ModeError(SecateurError, RuntimeError):
    """The network is in training mode, or has dropout that is active."""


class NondeterministicError(SecateurError, RuntimeError):
    """The network, or the data, answers differently when asked twice."""


class UnknownNameError(SecateurError, KeyError):
    """No criterion, engine, loss, metric or stop of that name; the message offers the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        self.message = f"no {kind} is called {name!r}.{hint} Known: {', '.join(known)}."
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would show the repr
        return self.message


class OptionError(SecateurError, ValueError):
    """Options that do not go together, or a value out of range."""


class TraceError(SecateurError, RuntimeError):
    """torch.export cannot capture the network."""


class UnitError(SecateurError, LookupError):
    """No such unit."""


class NoUnitsError(UnitError):
    """The network has nothing that can be removed exactly."""


class RefusedUnitError(UnitError):
    """A unit that cannot be removed exactly."""


class CriterionError(SecateurError, RuntimeError):
    """A criterion that does not apply to this network or loss."""


class CutMismatch(SecateurError, AssertionError):
    """The smaller network does not give the outputs of the gated one."""


class RankError(SecateurError, RuntimeError):
    """Another process of a distributed run is gone, or is of another mind."""


class BundleError(SecateurError, ValueError):
    """A bundle or weights file that is damaged, hostile or of another kind."""


class RunError(SecateurError, RuntimeError):
    """A run directory that cannot be used."""


class RunLockedError(RunError):
    """Another process is in the run directory."""


class RunMismatchError(RunError):
    """The run directory holds a run with another configuration."""
