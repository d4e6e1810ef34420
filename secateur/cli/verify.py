"""secateur verify: whether a bundle answers as the pruned network does."""

from __future__ import annotations

from pathlib import Path

from secateur.cli import inputs, show
from secateur.cli.app import DONE
from secateur.cli.options import PLAINLY, NetworkOptions, OutputOptions


def verify(bundle: Path, *, network: NetworkOptions, output: OutputOptions = PLAINLY) -> int:
    """Check that a bundle answers as the pruned network does: the whole one, with the removed units switched off.

    The meaning of off is that of the bundle; where it is the mean, --data must be what the run was ranked on. No file
    of the bundle is executed. The exit code is 4 where an answer differs by more than 1e-5 (float64: 1e-12) of the
    largest.

    Parameters
    ----------
    bundle
        The folder.
    """
    with show.results_only():
        from secateur.gated import GatedLoss
        from secateur.io import load
        from secateur.io.bundle import read_plan
        from secateur.surgery.verify import compare

        plan = read_plan(bundle)
        model = inputs.network(network)
        data = inputs.data(network, model)
        loss = GatedLoss(model, data, "self", off=plan["off"], device=network.device)
        gates = loss.gates()
        gates[loss.units.positions(plan["removed"])] = 0.0
        ways = {"captured graph": load(bundle).to(loss.device)} if plan["graph"] is not None else {}
        if plan["own_class"]:
            ways[f"class {plan['network']}"] = load(bundle, lambda: inputs.network(network)).to(loss.device)
        differences = dict.fromkeys(ways, 0.0)
        for tile in loss.tiles():
            names = loss.examples.keywords
            x = dict(zip(names, tile.inputs, strict=True)) if names else tile.inputs
            for way, small in ways.items():
                differences[way] = max(differences[way], compare(small, loss.network, gates, x))
    if output.json:
        show.document({"command": "verify", "bundle": str(bundle), "removed": len(plan["removed"]),
                       "examples": len(loss.examples), "differences": differences})  # fmt: skip
    elif not output.quiet:
        for way, difference in differences.items():
            show.text(f"{bundle}, as {way}: the same answers to {len(loss.examples):,} examples as the whole network "
                      f"with {len(plan['removed']):,} units off, to {difference:.1e} of the largest.")  # fmt: skip
    return DONE
