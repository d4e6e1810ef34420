"""Import strings, weights and data files turned into what the library takes."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secateur.cli.options import NetworkOptions
from secateur.errors import BundleError, DataError, OptionError, SecateurError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

    from secateur.data import Splits

IMPORT_STRING = "package.module:factory or file.py:factory"


def factory(text: str, option: str) -> Callable[..., Any]:
    """The callable that an import string names. The working directory, and the file's own, can be imported from.

    Raises: OptionError for another form, a module that is not there, or a name that it lacks.
    """
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise OptionError(f"{option} is {text!r}; expected {IMPORT_STRING}.")
    module = _from_file(Path(place), option) if place.endswith(".py") else _from_path(place, option)
    found = getattr(module, name, None)
    if not callable(found):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise OptionError(f"{option}: {UnknownNameError(f'function in {place}', name, known)}")
    return found


def network(options: NetworkOptions) -> nn.Module:
    """The network that --model makes, with --weights in it, in evaluation mode.

    Raises: OptionError for what is no network; BundleError for weights that do not fit.
    """
    from torch import nn

    model = _called(factory(options.model, "--model"), "--model")
    if not isinstance(model, nn.Module):
        raise OptionError(f"--model {options.model} made a {type(model).__name__}; expected a torch.nn.Module.")
    if options.weights is not None:
        _load_weights(model, options.weights)
    return model.eval()


def data(options: NetworkOptions, model: nn.Module) -> Any:
    """The examples that rank the units: of a data set, its rank split."""
    return _examples(options.data, "--data", "rank", model)


def validation(text: str | None, options: NetworkOptions, model: nn.Module) -> Any:
    """The examples that metrics are measured on: of a data set, its stop split. A data set that is named for --data
    alone serves both."""
    if text is not None:
        return _examples(text, "--validation", "stop", model)
    splits = _named(options.data)
    return None if splits is None else splits.stop.pair


def loss(text: str) -> Any:
    """The loss: a name, or the function that an import string names."""
    return factory(text, "--loss") if ":" in text else text


def _examples(text: str, option: str, use: str, model: nn.Module) -> Any:
    if text.endswith(".npz"):
        return _archive(Path(text), option, model)
    if ":" in text:
        found = _called(factory(text, option), option)
    else:
        found = _named(text)
        if found is None:
            from secateur.data import DATASETS

            raise OptionError(
                f"{option} is {text!r}; expected {IMPORT_STRING}, an .npz file, or one of {', '.join(DATASETS)}."
            )
    return getattr(found, use).pair if hasattr(found, use) and hasattr(found, "fit") else found


def _named(text: str) -> Splits | None:
    """The data set of secateur.data that `text` names, `name` or `name(option=value, ...)`; never evaluates it."""
    from secateur.data import DATASETS, load

    if text.partition("(")[0].strip() not in DATASETS:
        return None
    try:
        match ast.parse(text.strip(), mode="eval").body:
            case ast.Name(name):
                return load(name)
            case ast.Call(ast.Name(name), [], keywords) if all(word.arg for word in keywords):
                return load(name, **{str(word.arg): ast.literal_eval(word.value) for word in keywords})
    except (SyntaxError, ValueError) as error:
        if isinstance(error, SecateurError):
            raise
    raise OptionError(
        f"cannot read the data set {text!r}; expected a name with options, such as mnist20(flatten=True)."
    )


def _archive(path: Path, option: str, model: nn.Module) -> tuple[Any, ...]:
    """x, and y where it has one. A floating x comes in the network's own type: NumPy writes float64 unless told."""
    import zipfile

    import numpy as np
    import torch

    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "x" not in arrays.files:
                raise DataError(f"{option} {path} holds {', '.join(arrays.files) or 'nothing'}; expected x and y.")
            found = [torch.from_numpy(arrays[key]) for key in ("x", "y") if key in arrays.files]
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{option} {path} cannot be read ({error}); expected an .npz of plain arrays, x and y."
        ) from error
    dtype = next((parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()), None)
    if dtype is not None and found[0].is_floating_point():
        found[0] = found[0].to(dtype)
    return tuple(found)


def _load_weights(model: nn.Module, path: Path) -> None:
    from secateur.io import read_tensors

    tensors = read_tensors(path)
    wanted = model.state_dict(keep_vars=True)
    shared = {id(tensor) for name, tensor in wanted.items() if name in tensors}  # of tied tensors one name is enough
    missing = [name for name, tensor in wanted.items() if name not in tensors and id(tensor) not in shared]
    strange = [name for name in tensors if name not in wanted]
    shapes = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
        for name, tensor in tensors.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    found = {"it lacks": missing, "it has also": strange, "it has": shapes}
    faults = [f"{what} {', '.join(some[:3])}{', ...' if len(some) > 3 else ''}" for what, some in found.items() if some]
    if faults:
        raise BundleError(
            f"{path} does not fit {type(model).__name__}: {'; '.join(faults)}. Pass the weights of this very network."
        )
    model.load_state_dict(tensors, strict=False)


def _called(function: Callable[..., Any], option: str) -> Any:
    import inspect

    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise OptionError(f"{option}: {function.__name__} cannot be called without arguments ({error}).") from error
    except ValueError:  # a built-in function tells no signature
        pass
    return function()


def _from_file(path: Path, option: str) -> Any:
    if not path.is_file():
        raise OptionError(f"{option}: there is no file {path}; expected {IMPORT_STRING}.")
    name = f"secateur_file_{path.resolve()}"  # a file may have the name of a module that is in use
    if name in sys.modules:
        return sys.modules[name]  # --model and --data of one file share it
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise OptionError(f"{option}: {path} cannot be imported; expected a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    _make_importable(str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_path(place: str, option: str) -> Any:
    _make_importable(os.getcwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise  # the module is there; one that it needs is not
        raise OptionError(f"{option}: there is no module {error.name!r}; expected {IMPORT_STRING}.") from error


def _make_importable(folder: str) -> None:
    """For good: a factory may import what it needs only when it is called."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
