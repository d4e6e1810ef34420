"""The commands, the exit codes, and what an error looks like."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from cyclopts import App, CycloptsError
from rich.console import Console

from secateur import __version__
from secateur.cli import ranks, show
from secateur.cli.options import read_config
from secateur.errors import CutMismatch, OptionError, UnknownNameError

DONE, FAILED, USAGE, UNMET, MISMATCH, INTERRUPTED = 0, 1, 2, 3, 4, 130

EPILOGUE = """
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the wanted goal cannot be met (the best result is still written);
4 a network on disk is not the pruned one; 130 interrupted (go on with --resume).
"""

app = App(
    name="secateur",
    help="Prune whole units from a trained PyTorch network, without re-training, and see what each removal costs.",
    help_epilogue=" ".join(EPILOGUE.split()),
    version=__version__,
    config=read_config,
    suppress_keyboard_interrupt=False,  # `run` tells how to go on
)
for name, text in {
    "demo": "Train a small network, prune it by six criteria in two ways, and show what was found.",
    "prune": "Remove the least useful units, one by one, until a stop; write the run, a report and a bundle.",
    "score": "Score every unit: by default the true change of error when it is switched off.",
    "surface": "Draw the error while the output of single units is multiplied: the paper's gain curves.",
    "reproduce": "Train the paper's networks, prune them, and draw its figures beside its own curves.",
    "interactions": "Measure every pair of units: what both removals cost together beyond what they cost apart.",
    "report": "Make the report of a run again, from its directory alone.",
    "verify": "Check that a bundle answers as the pruned network does.",
    "export": "Write the bundle of a run, from its directory and the network.",
}.items():
    app.command(f"secateur.cli.{name}:{name}", name=name, help=text)
app.command("secateur.cli.bench:app", name="bench", help="Measure the oracle's engines, and what others would run.")


def main() -> None:
    """The program `secateur`."""
    sys.exit(run(sys.argv[1:]))


def run(tokens: Sequence[str]) -> int:
    """Run one command line, and return its exit code; errors and warnings become lines on standard error.

    >>> run(["score", "--model", "no_such_module:factory", "--data", "mnist20"])
    2
    """
    debug = "--debug" in tokens or bool(os.environ.get("SECATEUR_DEBUG"))
    if not ranks.serves(tokens):
        show.line(f"{tokens[0]} runs in one process; torchrun is for {' and '.join(ranks.PARALLEL)}.")
        return USAGE
    with _plain_warnings(quiet="--quiet" in tokens or ranks.rank() > 0), ranks.first_prints():
        try:
            code: Any = app(
                list(tokens),
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
                console=Console(),
                error_console=Console(stderr=True),
            )
            sys.stdout.flush()
            return code if isinstance(code, int) else DONE
        except KeyboardInterrupt as interrupt:
            show.line(str(interrupt) or "interrupted.")
            return INTERRUPTED
        except BrokenPipeError:  # the reader of our output went away, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except CycloptsError as error:
            show.line(f"{error} (secateur --help tells what there is.)")
            return USAGE
        except Exception as error:
            if debug:
                traceback.print_exc()
            show.line(show.told(error))
            return _code(error)


def _code(error: Exception) -> int:
    if isinstance(error, CutMismatch):
        return MISMATCH
    if isinstance(error, OptionError | UnknownNameError):
        return USAGE
    return FAILED


@contextlib.contextmanager
def _plain_warnings(quiet: bool) -> Iterator[None]:
    """A warning is a line on standard error. Those of other libraries are for their users, not for ours."""

    def told(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if category.__module__.startswith("secateur") and not quiet:
            show.line(show.in_options(f"warning: {message}"))

    with warnings.catch_warnings():
        warnings.showwarning = told
        yield
