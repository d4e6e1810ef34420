"""secateur bench: what the oracle costs and buys, in JSON and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from secateur.cli import show
from secateur.cli.app import DONE
from secateur.cli.options import PLAINLY, OutputOptions, Several, names
from secateur.errors import OptionError
from secateur.threads import threads as using

app = App(name="bench", help="Measure the oracle's engines, and what others would run in their place.")

NETWORKS = ("lenet-300-100", "lenet-5", "resnet-8")
TAYLOR = ("taylor1", "taylor2")
SECONDS = ("median", "least", "greatest")
PEER_LABELS = {"plain": "plain loop", "captum": "Captum", "gradient": "gradient pass"}


@app.command
def oracle(
    *,
    networks: Several = None,
    engines: Several = None,
    peers: Several = None,
    examples: int | None = None,
    rounds: int = 5,
    threads: int = 2,
    peer_units: int | None = None,
    weights: Literal["trained", "untrained"] = "trained",
    seed: int = 0,
    runs: Annotated[bool, Parameter(negative=())] = False,
    criteria: Several = None,
    down_to: float = 0.05,
    limit_seconds: float | None = None,
    run_rounds: int = 1,
    grow: Several = None,
    figures: Path | None = None,
    out: Path | None = None,
    output: OutputOptions = PLAINLY,
) -> int:
    """Time one round of the oracle by every engine, beside a plain loop, Captum and one gradient pass.

    All ways take turns in one process after warming up; medians of wall time. Digits are MNIST's where SECATEUR_MNIST
    or the network leads to it, else the shipped ones.

    Parameters
    ----------
    networks
        Recipes of the zoo, or perceptrons by shape as in mlp:784-1000-1000-10 (ReLU). By default lenet-300-100,
        lenet-5 and resnet-8.
    engines
        Of the oracle; by default all but reference, which serves to check the others.
    peers
        Of plain, captum and gradient; by default plain and gradient, and captum where it is installed. 'none' for none.
    examples
        By default 10,000 for lenet-300-100, 2,000 for lenet-5, 1,000 for resnet-8, and 5,000 for others.
    peer_units
        Time the peers on a random sample of so many units, and extrapolate; the check takes the same sample.
    weights
        Zeros of a trained network are what an engine may skip, so trained is the default.
    runs
        Whole pruning runs too, ranked again after each removal: seconds, same removals, quality at equal seconds.
    criteria
        That whole runs are compared with; by default taylor1 and taylor2.
    down_to
        The fraction of units at which whole runs end.
    limit_seconds
        End each whole run after so many seconds.
    run_rounds
        Make each whole run so often, in turns, and take medians.
    grow
        'examples 1000 2000 4000' or 'width 100 200 400', or both: one round at each, and the exponent of the growth.
    figures
        A folder for the pictures of growth and of runs, as PNG and SVG.
    out
        Write the JSON document there.
    """
    series = _series(names(grow) or [])
    with show.results_only(), show.status(wanted=not output.quiet) as told:
        document = _measure(
            told,
            names(networks) or list(NETWORKS),
            _engines(names(engines)),
            _peers(names(peers)),
            series,
            {"examples": examples, "weights": weights, "seed": seed},
            {"rounds": rounds, "peer_units": peer_units, "seed": seed},
            {"down_to": down_to, "limit_seconds": limit_seconds, "rounds": run_rounds} if runs else None,
            names(criteria) if criteria is not None else list(TAYLOR),
            threads,
        )
        document["figures"] = [] if figures is None else _draw(figures, document)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(show.strict(document), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if output.json:
        show.document(document)
    elif not output.quiet:
        _tell(document)
    return DONE


@app.command
def processes(
    *,
    network: str = "lenet-300-100",
    engine: str = "exact",
    examples: int | None = None,
    ranks: int = 2,
    removals: int = 5,
    rounds: int = 3,
    weights: Literal["trained", "untrained"] = "trained",
    seed: int = 0,
    output: OutputOptions = PLAINLY,
) -> int:
    """Time one round of the oracle, and a short run, by several processes and by one, each with one thread.

    Parameters
    ----------
    network
        A recipe of the zoo, or a perceptron by shape as in mlp:784-1000-1000-10.
    engine
        Of the oracle.
    ranks
        How many processes torchrun starts.
    removals
        How long the run is.
    rounds
        How often both are started, in turns.
    """
    with show.results_only(), show.status(wanted=not output.quiet) as told:
        from secateur.bench.processes import two_against_one
        from secateur.oracle import resolve

        resolve(engine)
        told(f"{network}: {ranks} processes and one, in turns")
        found = two_against_one(
            network,
            examples,
            engine=engine,
            ranks=ranks,
            removals=removals,
            rounds=rounds,
            weights=weights,
            seed=seed,
        )
    if output.json:
        show.document({"command": "bench processes", **found})
    elif not output.quiet:
        rows = []
        for part in ("round", "run"):
            times = [found[part][who]["median"] for who in ("one", "several")]
            rows.append([part, *map(show.number, times), _times(found[part]["faster"])])
        title = (
            f"{network}: {found['units']:,} units, {found['examples']:,} examples; engine {engine}, a round and a run "
            f"of {found['removals']} removals, one thread a process"
        )
        show.table(["", "one process", f"{ranks} processes", "times faster"], rows, title)
        show.text(f"The decisions are {'the same' if found['same_decisions'] else 'NOT the same'}.")
    return DONE


def _measure(
    told: Any,
    networks: Sequence[str],
    engines: Sequence[str],
    peers: Sequence[str],
    series: Mapping[str, list[int]],
    subject: dict[str, Any],
    options: dict[str, Any],
    run_options: dict[str, Any] | None,
    criteria: list[str] | None,
    threads: int,
) -> dict[str, Any]:
    from secateur import bench

    found: dict[str, Any] = {"command": "bench oracle", "rounds": [], "runs": [], "growth": []}
    growing = {key: options[key] for key in ("rounds", "peer_units", "seed")}
    with using(threads):
        found["machine"] = bench.machine()
        for name in networks:
            told(f"{name}: training or reading the network")
            made = bench.make_subject(name, **subject)
            told(f"{name}: one round by {', '.join((*engines, *peers))}")
            found["rounds"].append(bench.oracle_round(made, engines, peers, **options))
            if run_options is not None:
                methods = [*engines, *(criteria or [])]
                told(f"{name}: whole runs by {', '.join(methods)}")
                found["runs"].append(bench.compared_runs(made, methods, **run_options))
            if "examples" in series:
                told(f"{name}: growth with the examples")
                growth = bench.grow_examples(
                    name, series["examples"], engines, peers, weights=subject["weights"], **growing
                )
                found["growth"].append(growth)
        if "width" in series:
            told("growth with the width")
            count = subject["examples"] or 2_000
            found["growth"].append(bench.grow_width(series["width"], count, engines, peers, **growing))
    return found


def _engines(wanted: list[str] | None) -> list[str]:
    from secateur.oracle import ENGINES, resolve

    chosen = wanted or [name for name in ENGINES if name != "reference"]
    for name in chosen:
        resolve(name)
    return chosen


def _peers(wanted: list[str] | None) -> list[str]:
    from importlib.util import find_spec

    from secateur.baselines import resolve

    if wanted is None:
        return ["plain", "captum", "gradient"] if find_spec("captum") else ["plain", "gradient"]
    chosen = [] if wanted == ["none"] else wanted
    for name in chosen:
        resolve(name)
    return chosen


def _series(words: Sequence[str]) -> dict[str, list[int]]:
    """What --grow asks for.

    >>> _series(["examples", "100", "200", "width", "10", "20"])
    {'examples': [100, 200], 'width': [10, 20]}
    """
    found: dict[str, list[int]] = {}
    for word in words:
        if word in ("examples", "width"):
            found[word] = []
        elif found and word.isdecimal() and int(word) > 0:
            list(found.values())[-1].append(int(word))
        else:
            raise OptionError(f"--grow got {word!r}; expected 'examples' or 'width', each with sizes behind it.")
    if any(not sizes for sizes in found.values()):
        raise OptionError("--grow got no sizes; expected, say, 'examples 1000 2000 4000'.")
    return found


def _draw(folder: Path, document: Mapping[str, Any]) -> list[str]:
    from secateur.bench.runs import label
    from secateur.plots import save
    from secateur.plots.growth import GrowthLine, draw_growth
    from secateur.plots.quality import QualityLine, draw_quality

    figures = {}
    for growth in document["growth"]:
        lines = []
        for line in growth["lines"]:
            called = PEER_LABELS.get(line["way"], label(line["way"])) + ", extrapolated" * line["extrapolated"]
            median, least, greatest = ([entry[key] for entry in line["seconds"]] for key in SECONDS)
            lines.append(GrowthLine(called, line["sizes"], median, least, greatest, line["exponent"]))
        of = "examples" if growth["of"] == "examples" else "units of the hidden layer"
        figures[f"growth-{growth['of']}-{growth['network']}"] = draw_growth(lines, of=of)
    for found in document["runs"]:
        lines = [QualityLine(run["method"], run["seconds"], run["errors"], found["units"]) for run in found["runs"]]
        figures[f"quality-{found['network']}"] = draw_quality(lines, ceiling=found["compared_up_to"])
    files = []
    for name, figure in figures.items():
        plain = name.replace(":", "-")
        files += [str(save(figure, folder / f"{plain}.{suffix}")) for suffix in ("png", "svg")]
    return files


def _tell(document: Mapping[str, Any]) -> None:
    for found in document["rounds"]:
        _tell_round(found)
    for found in document["runs"]:
        _tell_runs(found)
    for found in document["growth"]:
        rows = []
        for line in found["lines"]:
            cells = [show.number(entry["median"]) for entry in line["seconds"]]
            rows.append([_named(line), *cells, show.number(line["exponent"])])
        sizes = [f"{size:,}" for size in found["lines"][0]["sizes"]]
        title = f"{found['network']}: seconds of one round against {found['of']}; exponent of the growth"
        show.table(["way", *sizes, "exponent"], rows, title)
    machine = document["machine"]
    show.text(f"{machine['threads']} threads on {machine['cores']} cores, torch {machine['torch']}.")
    if document["figures"]:
        show.text(f"Pictures: {', '.join(document['figures'])}")


def _tell_round(found: Mapping[str, Any]) -> None:
    rows, notes = [], []
    evaluations = found["units"] * found["examples"]
    for way in found["ways"]:
        seconds, ratios, made = way["seconds"], way["ratios"], way["example_evaluations"]
        share = made["made"] / made["stands_for"] if way["kind"] == "engine" else None
        rows.append(
            [
                _named(way) + ("*" if way.get("extrapolated") else ""),
                *(show.number(seconds[key]) for key in SECONDS),
                *(_times(ratios.get(key)) for key in ("faster_than_plain", "faster_than_captum", "gradient_passes")),
                "" if share is None else _percent(share),
                _agreement(way),
                "" if way.get("regret") is None else show.number(way["regret"]),
            ]
        )
        if way.get("extrapolated"):
            notes.append(
                f"* {_named(way)}: timed on {way['measured_units']} units, extrapolated to {found['units']:,}."
            )
        if way.get("settings"):
            best = ", ".join(f"{key} {value:,}" for key, value in way["settings"].items())
            notes.append(f"{_named(way)}: best at {best}" + (f" ({way['note']})" if way["note"] else "") + ".")
    title = (
        f"{found['network']}: {found['units']:,} units, {found['examples']:,} examples of {found['data']}, "
        f"{found['weights']}; one round, median of {found['rounds']}; exact: {evaluations:,} example-evaluations"
    )
    headings = ["way", "seconds", "least", "greatest", "x plain\nloop", "x\nCaptum", "gradient\npasses"]
    headings += ["evaluations\nmade", "agreement\n(1 allowed)", "regret"]
    show.table(headings, rows, title)
    if found["reference_units"] < found["units"]:
        notes.append(f"Agreement with the reference on {found['reference_units']} units.")
    for note in notes:
        show.text(note)
    show.text()


def _agreement(way: Mapping[str, Any]) -> str:
    value = way.get("agreement")
    return "" if value is None else "estimates" if way.get("partial") and value > 1 else show.number(value)


def _tell_runs(found: Mapping[str, Any]) -> None:
    rows, notes = [], []
    for run in found["runs"]:
        beside, plain = run.get("beside_exact"), run.get("plain_loop")
        rows.append(
            [
                run["method"],
                f"{len(run['removed']):,}",
                run["ended"],
                show.number(run["seconds"][-1]),
                show.number(run["deciding"][-1]),
                "" if plain is None else _times(plain["faster"]),
                "" if run["evaluations"] is None else _made(run["evaluations"]),
                "" if beside is None else _difference(beside),
                "" if beside is None else show.number(beside["mean_log_ratio"]),
            ]
        )
        for name, pair in run.get("beside", {}).items():
            shares = [_percent(pair[key]["share_below"]) for key in ("equal_units", "equal_seconds")]
            notes.append(
                f"{run['method']} has no more error than {name} at {shares[0]} of the removals, and at {shares[1]} of "
                f"the moments; it is ahead in both at {_percent(pair['ahead']['share'])} of the removals."
            )
    share, most = f"{100 * found['down_to']:g}%", show.number(found["compared_up_to"])
    title = (
        f"{found['network']}: whole runs down to {share} of {found['units']:,} units; log-ratios up to an error of "
        f"{most}, 5% of the best constant answer's"
    )
    headings = ["method", "removed", "end", "seconds", "deciding", "x plain\nloop*", "evaluations\nmade"]
    show.table([*headings, "removals\nlike exact", "mean log-ratio\nto exact"], rows, title)
    show.text("* the plain loop is extrapolated: the forwards of all its rounds, at the measured seconds of one.")
    for note in notes:
        show.text(note)
    show.text()


def _made(evaluations: Mapping[str, Any]) -> str:
    share = evaluations["made"] / evaluations["stands_for"] if evaluations["stands_for"] else 1.0
    return f"{100 * share:.3g}%"


def _named(way: Mapping[str, Any]) -> str:
    name: str = way["way"]
    return PEER_LABELS.get(name, name)


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.0f}%"


def _difference(beside: Mapping[str, Any]) -> str:
    """How far the removals are the exact engine's."""
    if beside["first_difference"] is None:
        return f"all {beside['removals_compared']}"
    return f"until {beside['first_difference'] - 1}"
