"""The user's data, read once, in order, and kept: tensors, a Dataset, a DataLoader, or dict batches."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from secateur.errors import DataError, NondeterministicError, NonFiniteError

TARGET_KEYS = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True)
class Examples:
    """N examples as tensors whose first dimension counts them.

    `inputs` are what the network is called with (by position, or by keyword where `keywords` names them); `fields` is
    what the user gave, in the user's structure: a tuple, or a dict.
    """

    fields: tuple[Tensor, ...] | dict[str, Tensor]
    inputs: tuple[Tensor, ...]
    keywords: tuple[str, ...]
    target: Tensor | None

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def args(self) -> tuple[Tensor, ...]:
        return () if self.keywords else self.inputs

    @property
    def kwargs(self) -> dict[str, Tensor]:
        return dict(zip(self.keywords, self.inputs, strict=True)) if self.keywords else {}

    def batch(self, start: int, stop: int, device: torch.device) -> Any:
        """A range of the examples as the user's own structure: what a user's loss function receives."""
        if isinstance(self.fields, dict):
            return {key: value[start:stop].to(device) for key, value in self.fields.items()}
        return tuple(value[start:stop].to(device) for value in self.fields)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, types, shapes and values."""
        found = hashlib.sha256()
        for key, value in _items(self.fields):
            found.update(f"{key} {value.dtype} {tuple(value.shape)};".encode())
            for start in range(0, len(value), 4096):  # by pieces, so that a memory-mapped set stays on disk
                piece = value[start : start + 4096].cpu().contiguous()
                found.update(piece.view(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()


def read(data: Any, model: nn.Module) -> Examples:
    """Read all examples of (x, y) tensors or arrays, of a Dataset, a DataLoader, a list of batches, or a dict of
    tensors.

    Raises: DataError for no examples, sizes that differ, or a kind that is not known; NonFiniteError for NaN or
    infinity; NondeterministicError where a second reading gives other examples.
    """
    fields = _read(data)
    sizes = {_called(key): value.shape[0] if value.dim() else 0 for key, value in _items(fields)}
    if not sizes or min(sizes.values()) == 0:
        raise DataError(f"the data holds no examples ({sizes or 'nothing'}); expected one or more")
    if len(set(sizes.values())) > 1:
        raise DataError(f"the data's first dimensions differ: {sizes}; expected one size, the number of examples")
    for key, value in _items(fields):
        if value.is_floating_point():
            _refuse_non_finite(value, _called(key))
    if isinstance(data, (Dataset, DataLoader)) or not _is_tensors(data):
        _require_fixed(fields, _read(data))
    if isinstance(fields, dict):
        target_key = next((key for key in TARGET_KEYS if key in fields), None)
        accepted = inspect.signature(model.forward).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
        names = tuple(key for key in fields if key != target_key and (anything or key in accepted))
        if not names:
            raise DataError(
                f"none of the keys {', '.join(fields)} is an argument of {type(model).__name__}.forward"
                f"({', '.join(accepted)}); name the data's keys as its arguments"
            )
        return Examples(fields, tuple(fields[key] for key in names), names, fields[target_key] if target_key else None)
    if len(fields) == 1:
        return Examples(fields, fields, (), None)
    return Examples(fields, fields[:-1], (), fields[-1])


def _require_fixed(
    fields: tuple[Tensor, ...] | dict[str, Tensor], again: tuple[Tensor, ...] | dict[str, Tensor]
) -> None:
    """Raises: NondeterministicError where a second reading gave other examples."""
    for (key, first), (_, second) in zip(_items(fields), _items(again), strict=True):
        if first.shape != second.shape or not torch.equal(first, second):
            raise NondeterministicError(
                f"the data gave other examples ({_called(key)}) when it was read a second time; decisions need fixed "
                "data. Pass a loader with shuffle=False and without random augmentation, or tensors."
            )


def _items(fields: tuple[Tensor, ...] | dict[str, Tensor]) -> list[tuple[Any, Tensor]]:
    return list(fields.items() if isinstance(fields, dict) else enumerate(fields))


def _called(key: int | str) -> str:
    return f"field {key}" if isinstance(key, int) else repr(key)


def _is_tensors(data: Any) -> bool:
    values = data.values() if isinstance(data, Mapping) else data if isinstance(data, (tuple, list)) else (data,)
    return all(isinstance(value, (Tensor, np.ndarray)) for value in values)


def _read(data: Any) -> tuple[Tensor, ...] | dict[str, Tensor]:
    if isinstance(data, (Tensor, np.ndarray)):
        return (_tensor(data),)
    if isinstance(data, Mapping):
        return {str(key): _tensor(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)) and len(data) and _is_tensors(data):
        return tuple(_tensor(value) for value in data)
    if isinstance(data, Dataset) and not isinstance(data, DataLoader):
        if not hasattr(data, "__len__"):
            raise DataError(f"{type(data).__name__} has no length; pass a map-style Dataset, a DataLoader or tensors")
        return _join(default_collate([data[index]]) for index in range(len(data)))  # pyright: ignore[reportArgumentType]
    if isinstance(data, Iterator):
        raise DataError(
            f"a {type(data).__name__} can be read only once; pass a list of batches, a DataLoader or tensors"
        )
    if isinstance(data, Iterable):
        return _join(data)
    raise DataError(
        f"data is a {type(data).__name__}; expected (x, y) tensors or arrays, a dict of tensors, a Dataset or a "
        "DataLoader"
    )


def _join(batches: Iterable[Any]) -> tuple[Tensor, ...] | dict[str, Tensor]:
    """The batches one after the other."""
    read: list[dict[Any, Tensor]] = []
    row: dict[Any, Tensor]
    style: type = tuple
    for number, batch in enumerate(batches):
        if isinstance(batch, Mapping):
            style, row = dict, {str(key): _tensor(value) for key, value in batch.items()}
        elif isinstance(batch, (tuple, list)):
            row = {at: _tensor(value) for at, value in enumerate(batch)}
        elif isinstance(batch, (Tensor, np.ndarray)):
            row = {0: _tensor(batch)}
        else:
            raise DataError(
                f"batch {number} is a {type(batch).__name__}; expected a tuple or dict of tensors, or a tensor"
            )
        if any(value.dim() == 0 for value in row.values()):
            raise DataError(
                f"batch {number} holds a single number; expected tensors whose first dimension counts examples. Pass a "
                "list of single examples as a Dataset, or stack them into (x, y)"
            )
        if read and (row.keys() != read[0].keys() or any(row[k].shape[1:] != read[0][k].shape[1:] for k in row)):
            shapes = {key: tuple(value.shape) for key, value in row.items()}
            first = {key: tuple(value.shape) for key, value in read[0].items()}
            raise DataError(
                f"batch {number} holds {shapes}, the first one {first}; all must agree but in the first dimension"
            )
        read.append(row)
    if not read:
        raise DataError("the data holds no batches; expected one example or more")
    joined = {key: torch.cat([row[key] for row in read]) for key in read[0]}
    return joined if style is dict else tuple(joined.values())


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray):
        if not value.flags.writeable:
            if isinstance(value, np.memmap):
                return _read_only(value)
            value = value.copy()
        return torch.from_numpy(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return torch.as_tensor(value)
    raise DataError(f"the data holds a {type(value).__name__}; expected tensors or arrays")


def _read_only(value: np.ndarray) -> Tensor:
    """A memory map opened for reading stays one: secateur never writes to the data."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(value)


def _refuse_non_finite(value: Tensor, name: str) -> None:
    for start in range(0, len(value), 4096):
        bad = ~value[start : start + 4096].isfinite().reshape(len(value[start : start + 4096]), -1).all(1)
        if bool(bad.any()):
            first = start + int(bad.nonzero()[0])
            raise NonFiniteError(f"example {first} of the data has NaN or infinity in {name}; remove or repair it")
