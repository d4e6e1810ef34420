"""secateur export: the bundle of a run that was made before."""

from __future__ import annotations

from pathlib import Path

from secateur import stopping
from secateur.cli import inputs, show
from secateur.cli.app import DONE
from secateur.cli.options import PLAINLY, NetworkOptions, OutputOptions
from secateur.cli.report import recorded_stop
from secateur.errors import RunMismatchError
from secateur.rundir import RunDirectory


def export(
    run: Path,
    *,
    network: NetworkOptions,
    loss: str | None = None,
    stop: str | None = None,
    out: Path | None = None,
    output: OutputOptions = PLAINLY,
) -> int:
    """Write the bundle of a run, from its directory and the network.

    Parameters
    ----------
    run
        A run directory.
    loss
        The import string of the loss function, if the run had one of your own.
    stop
        What the run would have handed back under another stop, such as 'metric_drop(accuracy, 0.05)'.
    out
        The folder of the bundle; by default bundle in the run directory.
    """
    held = RunDirectory.read(run)
    with show.results_only():
        from secateur.api import Result, weights_digest
        from secateur.gated import GatedLoss

        model = inputs.network(network)
        data = inputs.data(network, model)
        error = held.configuration["loss"] if loss is None else inputs.loss(loss)
        off, tile = held.configuration["off"], held.configuration["tile"]
        gated = GatedLoss(model, data, error, off=off, tile=tile, device=network.device)
        for key, value in {"weights": weights_digest(model), "data": gated.examples.digest}.items():
            if held.configuration.get(key) != value:
                raise RunMismatchError(
                    f"{run} is a run with other {key}; pass the --model, --weights and --data it had."
                )
        wanted = stopping.parse(stop) if stop is not None else recorded_stop(held)
        result = Result(gated, held, wanted, held.configuration, run, type(model).__name__).at(wanted)
        path = result.save(run / "bundle" if out is None else out)
    if output.json:
        show.document({"command": "export", "run": str(run), "bundle": str(path), "removed": result.step.step})
    elif not output.quiet:
        show.text(f"{path}: {type(model).__name__} without {result.step.step:,} of {len(gated.units):,} units.")
    return DONE
