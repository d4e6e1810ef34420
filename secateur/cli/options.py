"""The options that commands share, and --config."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter
from cyclopts.config import Dict

NETWORK = Group("The network and its data", sort_key=1)
ERROR = Group("The error", sort_key=2)
RANKING = Group("The ranking", sort_key=3)
RUN = Group("The run", sort_key=4)
OUTPUT = Group("Output", sort_key=9)

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Several = Annotated[tuple[str, ...] | None, Parameter(consume_multiple=True, negative=(), show_default=False)]


@Parameter(name="*", group=NETWORK)
@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network, and the examples that rank its units."""

    model: str
    """The network: package.module:factory or file.py:factory, called without arguments. It is put into evaluation
    mode."""

    weights: Path | None = None
    """Its weights, a safetensors file; every tensor must fit. By default the factory's own."""

    data: str
    """The examples that rank the units: a factory as above, an .npz with x and y, or a data set of secateur.data, such
    as mnist20 or 'mnist20(flatten=True)' (its rank split)."""

    device: str | None = None
    """Where to compute: cpu, cuda ... By default where the factory puts the network."""


@Parameter(name="*", group=ERROR)
@dataclass(frozen=True, kw_only=True)
class ErrorOptions:
    """E(g): the error, and what off means."""

    loss: str = "cross_entropy"
    """sse, mse, cross_entropy, bce, or self (the distance to the unpruned output, which needs no y); or a factory's
    import string for a function (output, batch) -> per-example losses."""

    off: Literal["zero", "mean"] = "zero"
    """What a unit that is off gives to its readers: nothing, or its mean over the examples."""

    tile: int | None = None
    """How many examples are evaluated together, and what ranks take in turn; by default as many as fill a core's cache.
    The memory needed grows with it; since sums are rounded tile by tile, another tile may decide otherwise where scores
    are all but equal."""

    max_memory: str | None = None
    """How much the evaluation may take beside the network and its data, in bytes or as 256MB or 1GiB; it changes the
    pace, not the tile. By default a working set of a few tens of megabytes, and up to 1 GiB of caches."""


@Parameter(name="*", group=RANKING)
@dataclass(frozen=True, kw_only=True)
class RankingOptions:
    """How units are ranked."""

    criterion: str = "oracle"
    """oracle, taylor1, taylor2, taylor2_paper, magnitude, random ... (an unknown name is answered with all of them)."""

    engine: str | None = None
    """How the oracle is evaluated: exact (the default) and reference measure every unit in each round; lazy and racing
    measure less, and say how sure each choice is (docs/oracle.md). Options may follow: "lazy(fresh=5)"."""

    seed: int = 0
    """Of what is drawn: by the criterion random, and the engines lazy and racing."""


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is printed, and where options come from."""

    json: Flag = False
    """Put one JSON document on standard output, and nothing else."""

    quiet: Flag = False
    """No progress on the terminal, no warnings, no summary."""

    config: Path | None = None
    """A TOML file with the same options, by the same names with dashes or underscores. The command line goes first."""

    debug: Flag = False
    """Show the traceback of an error. (So does the environment variable SECATEUR_DEBUG.)"""


# What a command is called with where nothing is said.
BY_LOSS = ErrorOptions()
BY_ORACLE = RankingOptions()
PLAINLY = OutputOptions()


def read_config(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill in from the file that --config names what the command line does not say; cyclopts calls it.

    Raises: CycloptsError for a file that is no TOML, a table, or a key that is no option of the command (with the
    nearest).
    """
    for argument in arguments:
        if "--config" in argument.names and argument.tokens:
            path = Path(argument.tokens[0].value)
            Dict(_toml(path), use_commands_as_keys=False, source=str(path))(app, commands, arguments)
            return


def _toml(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CycloptsError(msg=f"cannot read --config {path}: {error.strerror or error}.") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise CycloptsError(msg=f"--config {path} is no TOML: {error}.") from error
    tables = [key for key, value in found.items() if isinstance(value, dict)]
    if tables:
        raise CycloptsError(msg=f"--config {path} has a table [{tables[0]}]; write the options above any table.")
    return found


NAME = r"[^\s,()]+(?:\([^()]*\))?"
"""A name, with options in brackets behind it: lazy(fresh=5, audit=0.1)."""


def names(values: tuple[str, ...] | None) -> list[str] | None:
    """What was given as `--metrics accuracy error`, `--metrics accuracy,error` or a list in a TOML file.

    >>> names(("accuracy,error", "explained"))
    ['accuracy', 'error', 'explained']
    >>> names(("exact,lazy(fresh=5, audit=0.1)",))
    ['exact', 'lazy(fresh=5, audit=0.1)']
    """
    return None if values is None else [part for value in values for part in re.findall(NAME, value)]
