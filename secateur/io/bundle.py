"""The pruned network on disk: loadable without secateur, and without pickle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, fx, nn

from secateur.errors import BundleError
from secateur.gated import GatedNetwork
from secateur.io import portable
from secateur.io.encode import check_operator, encode_graph
from secateur.surgery import cut_graph, plan_cut
from secateur.units.rules import LAYER_ATTRIBUTES

FORMAT = "secateur-bundle-1"
CANONICAL = ("plan.json", "model.safetensors")
EXPECTED = {
    "files": dict,
    "network": str,
    "own_class": bool,
    "whole": dict,
    "learned": list,
    "added": list,
    "constants": list,
    "tied": dict,
    "attributes": dict,
}
"""What load reads of plan.json, beside the graph."""


def save_bundle(
    path: str | os.PathLike[str],
    network: GatedNetwork,
    units: Sequence[int],
    small: nn.Module,
    report: Path | None = None,
) -> Path:
    """Write plan.json, model.safetensors, model.pt2, load.py (and report.html) of a verified cut, aside and then
    renamed.

    Raises: BundleError where the folder holds something else than a bundle.
    """
    path = Path(path)
    if path.exists() and any(path.iterdir()) and not (path / "plan.json").is_file():
        raise BundleError(f"{path} exists and is no bundle; choose an empty or new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = cut_graph(network, plan_cut(network, list(units)))
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as aside:
        folder = Path(aside) / "bundle"
        folder.mkdir()
        tensors, plan = _describe(network, units, small, graph)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / CANONICAL[1])
        _export(network, graph, folder / "model.pt2")
        shutil.copy(portable.__file__, folder / "load.py")
        if report is not None:
            shutil.copy(report, folder / "report.html")
        plan["files"] = {file.name: _digest(file) for file in sorted(folder.iterdir())}
        lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in plan.items())
        (folder / CANONICAL[0]).write_text("{\n" + ",\n".join(lines) + "\n}\n")
        for file in folder.iterdir():
            file.chmod(0o644)
        old = Path(aside) / "old"
        if path.exists():
            path.rename(old)
        try:
            folder.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    return path


def load(
    path: str | os.PathLike[str], factory: Callable[[], nn.Module] | nn.Module | None = None, *, trust: bool = False
) -> nn.Module:
    """The pruned network of a bundle, in evaluation mode. No file of the bundle is executed or unpickled.

    Without a factory the captured graph is rebuilt from plan.json, whose operators must be rows of secateur's table.
    With one, `factory()` makes your own class as it was before pruning, and its tensors are replaced by the smaller
    ones. `trust=True` opens model.pt2 with torch's loader instead, which can be made to run code: for your own bundles
    only.

    Shape:
        the network takes any number of examples.
    Units:
        none.
    Raises:
        BundleError: a file is missing, damaged, was altered after the bundle was written, is a pickle, or lies outside
        the folder; or the factory makes another network.
    Source:
        docs/design.md, decision 11.

    >>> load("no/such/bundle")
    Traceback (most recent call last):
    secateur.errors.BundleError: no/such/bundle is not a folder; expected a bundle that secateur wrote
    """
    folder = Path(path)
    plan = read_plan(folder)
    if trust:
        if "model.pt2" not in plan["files"]:
            raise BundleError(f"{folder} holds no model.pt2 of its own; load it without trust=True")
        return torch.export.load(folder / "model.pt2").module()
    tensors = read_tensors(folder / CANONICAL[1])
    if factory is not None and not plan["own_class"]:
        raise BundleError(
            f"the code of {plan['network']} holds sizes as numbers, so the class itself could not be cut; load "
            "the bundle "
            "without a factory, which gives the captured graph of the same network"
        )
    if factory is None:
        return _build(plan, tensors)
    model = factory if isinstance(factory, nn.Module) else factory()
    if not isinstance(model, nn.Module):
        raise BundleError(f"the factory made a {type(model).__name__}; expected the torch.nn.Module that was pruned")
    return _shrink(model, plan, tensors)


def read_plan(folder: Path) -> dict[str, Any]:
    """plan.json, after a check that every file it names lies in the folder and is as it was written."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is not a folder; expected a bundle that secateur wrote")
    if not (folder / CANONICAL[0]).is_file():
        raise BundleError(f"{folder} holds no {CANONICAL[0]}; expected a bundle that secateur wrote")
    try:
        plan = json.loads((folder / CANONICAL[0]).read_text())
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{folder / CANONICAL[0]} is not JSON ({error}); the bundle is damaged: save it again"
        ) from error
    if not isinstance(plan, dict) or plan.get("format") != FORMAT:
        found = plan.get("format") if isinstance(plan, dict) else type(plan).__name__
        raise BundleError(f"{folder} has format {found!r}; this version of secateur reads {FORMAT!r}")
    if wrong := [key for key, kind in EXPECTED.items() if not isinstance(plan.get(key), kind)]:
        raise BundleError(f"{CANONICAL[0]} lacks {', '.join(wrong)}; the bundle is damaged: save it again")
    if CANONICAL[1] not in plan["files"]:
        raise BundleError(f"{CANONICAL[0]} names no {CANONICAL[1]}; the bundle is damaged: save it again")
    for name, digest in plan["files"].items():
        file = folder / name
        if Path(name).name != name or not name.isprintable() or file.resolve().parent != folder.resolve():
            raise BundleError(f"{CANONICAL[0]} names {name!r}, which lies outside the bundle; don't trust this bundle")
        if not file.is_file():
            raise BundleError(f"{file} is missing; the bundle is damaged: save it again")
        if _digest(file) != digest:
            raise BundleError(
                f"{file} was altered after the bundle was written; don't trust it, or save the bundle again"
            )
    return plan


def read_tensors(file: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises: BundleError, for a pickle with the way to convert it.
    """
    file = Path(file)
    if not file.is_file():
        raise BundleError(f"{file} does not exist; expected a safetensors file")
    with file.open("rb") as stream:
        head = stream.read(9)
    # A safetensors file begins with a length of eight bytes, which may look like a pickle's, and then with a brace.
    if head[8:] != b"{" and (head[:2] == b"PK" or head[:1] == b"\x80"):
        raise BundleError(
            f"{file} is a pickle (torch.save), which can run any code when it is opened; secateur reads "
            "safetensors only. "
            "If you trust the file, convert it: safetensors.torch.save_file(torch.load(file, weights_only=True), ...)"
        )
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{file} is no safetensors file ({error}); it is damaged or of another kind") from error


def _build(plan: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    graph = plan.get("graph")
    if graph is None:
        raise BundleError(
            f"this bundle holds no graph ({plan.get('no_graph')}); pass factory=, which makes the unpruned class"
        )
    try:
        for _, target, _, _ in graph["nodes"]:
            check_operator(target)
        return portable.build(graph, tensors, plan["learned"])
    except BundleError:
        raise
    except Exception as error:  # a hostile plan can hold anything
        raise BundleError(f"the graph in plan.json can't be built ({type(error).__name__}: {error})") from error


def _shrink(model: nn.Module, plan: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    try:
        _check_factory(model, plan, tensors)
        return portable.shrink(model, plan, tensors)
    except BundleError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise BundleError(f"plan.json does not fit the factory's {type(model).__name__} ({kind}: {error})") from error


def _check_factory(model: nn.Module, plan: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raises: BundleError where the tensors that the factory's network has are not those that were pruned, or the plan
    would change more of it than tensors and sizes."""
    constants, added = {*plan["constants"]}, {*plan["added"]}
    found = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    wanted = {name for name in tensors if name not in constants | added}
    if missing := sorted(wanted - found.keys()):
        raise BundleError(
            f"the factory's {type(model).__name__} has no {', '.join(missing[:3])}: another network was pruned"
        )
    for name in sorted(wanted):
        whole = plan["whole"].get(name)
        if list(found[name].shape) != whole:
            raise BundleError(
                f"the factory's {name} has shape {tuple(found[name].shape)}, the pruned network's had "
                f"{tuple(whole or ())} "
                "before pruning; pass the factory of the network that was pruned"
            )
    layers = dict(model.named_modules(remove_duplicate=False))
    for name in added:  # biases, for the means of units that went
        path, _, leaf = name.rpartition(".")
        vacant = leaf == "bias" and path in layers and layers[path]._parameters.get("bias", layers) is None
        if not vacant:
            raise BundleError(f"{CANONICAL[0]} adds {name!r}, for which the factory's network has no place")
    for alias, name in plan["tied"].items():
        if alias not in found or name not in wanted:
            raise BundleError(f"{CANONICAL[0]} ties {alias!r} to {name!r}, which the factory's network does not have")
    for path, sizes in plan["attributes"].items():
        known = [a for kinds, names in LAYER_ATTRIBUTES.items() if isinstance(layers.get(path), kinds) for a in names]
        if not isinstance(sizes, dict) or any(a not in known or type(size) is not int for a, size in sizes.items()):
            raise BundleError(f"{CANONICAL[0]} sets {sizes!r} of {path!r}, which are no sizes of a layer there")


def _describe(
    network: GatedNetwork, units: Sequence[int], small: nn.Module, graph: fx.GraphModule
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors to keep, and plan.json but for the digests."""
    original = network.graph.model
    plan = plan_cut(network, list(units))
    tensors = {**dict(graph.named_parameters()), **dict(graph.named_buffers())}
    constants = [node.name for node in network.graph.constants]
    same: dict[int, str] = {}
    tied: dict[str, str] = {}
    whole: dict[str, list[int]] = {}
    parameters = list(original.named_parameters(remove_duplicate=False))
    # The names that the graph uses come first, so that other names of a tied tensor are the aliases.
    for name, tensor in sorted(
        [*parameters, *original.named_buffers(remove_duplicate=False)], key=lambda item: item[0] not in tensors
    ):
        whole[name] = list(tensor.shape)
        if id(tensor) in same:
            tied[name] = same[id(tensor)]
        else:
            same[id(tensor)] = name
            tensors.setdefault(name, tensor)
    learned = sorted({name for name, _ in parameters} | {name for name, _ in graph.named_parameters()})
    try:
        encoded, why = encode_graph(graph), None
    except BundleError as error:
        encoded, why = None, str(error)
    attributes = {
        path: {attribute: getattr(module, attribute) for attribute in names}
        for path, module in small.named_modules()
        for kinds, names in LAYER_ATTRIBUTES.items()
        if isinstance(module, kinds)
    }
    return tensors, {
        "format": FORMAT,
        "network": type(original).__name__,
        "own_class": type(small) is type(original),
        "off": network.off,
        "removed": [network.units[unit].name for unit in units],
        "keep": {name: {str(dim): kept.tolist() for dim, kept in dims.items()} for name, dims in plan.keep.items()},
        "whole": whole,
        "learned": learned,
        "added": sorted(set(tensors) - set(whole) - set(constants)),
        "constants": constants,
        "tied": tied,
        "attributes": {path: found for path, found in attributes.items() if found},
        "graph": encoded,
        "no_graph": why,
    }


def _export(network: GatedNetwork, graph: fx.GraphModule, file: Path) -> None:
    """The graph as a .pt2, for any number of examples. The example inputs are zeros, and are taken out again."""
    inputs = []
    for node in network.graph.inputs:
        fake = node.meta["val"]
        inputs.append(torch.zeros(2, *fake.shape[1:], dtype=fake.dtype, device=network.graph.device))
    free = {0: torch.export.Dim.AUTO}
    kwargs = dict(zip(network.graph.keywords, inputs, strict=True)) if network.graph.keywords else {}
    args, shapes = ((), dict.fromkeys(kwargs, free)) if kwargs else (tuple(inputs), tuple(free for _ in inputs))
    with torch.no_grad():
        program = torch.export.export(graph, args, kwargs, dynamic_shapes=shapes, strict=False)
    program._example_inputs = None
    torch.export.save(program, file)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
