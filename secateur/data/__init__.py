"""Small data sets with fit, rank, stop and report splits; one file each, loaded by name.

>>> splits = load("mnist20", flatten=True)
>>> splits.fit.x.shape, splits.report.y.shape
(torch.Size([5000, 400]), torch.Size([500]))
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType

from secateur.data.cache import cache_folder
from secateur.data.splits import Split, Splits
from secateur.errors import OptionError, UnknownNameError

__all__ = ["DATASETS", "Split", "Splits", "cache_folder", "load"]

# Each names a module with a function load(**options) -> Splits, imported when it is asked for.
DATASETS: Mapping[str, str] = MappingProxyType(
    {
        "cosine": "secateur.data.cosine",
        "diamond": "secateur.data.diamond",
        "digits": "secateur.data.digits",
        "mnist": "secateur.data.mnist",
        "mnist20": "secateur.data.mnist20",
        "random_shape": "secateur.data.random_shape",
    }
)


def load(name: str, **options: object) -> Splits:
    """The data set of that name; the options are those of its module's `load`.

    Shape:
        four splits with the same shape of an example.

    Units:
        those of the data set.

    Raises:
        UnknownNameError: no data set of that name.
        OptionError: an option that it does not have.
        DataError: its files cannot be had.

    Source:
        one file of this folder each.

    >>> load("cosine", examples=10).fit.x.shape
    torch.Size([10, 1])
    >>> load("cosin")
    Traceback (most recent call last):
    secateur.errors.UnknownNameError: no data set is called 'cosin'. Did you mean 'cosine'? Known: cosine, diamond, \
digits, mnist, mnist20, random_shape.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    function = importlib.import_module(DATASETS[name]).load
    known = inspect.signature(function).parameters
    wrong = [option for option in options if option not in known]
    if wrong:
        raise OptionError(f"the data set {name!r} has no option {', '.join(wrong)}; it has {', '.join(known)}")
    return function(**options)
