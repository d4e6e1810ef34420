"""The script that makes mnist20.npz: its arithmetic, on images small enough to do by hand."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "make_mnist20.py"))


def test_area_weights_share_out_every_pixel() -> None:
    weights = SCRIPT["area_weights"](28, 20)
    assert np.allclose(weights.sum(1), 1)
    assert np.allclose(weights.sum(0), 20 / 28)  # no pixel is lost or favoured
    assert np.allclose(weights[0, :3], [1 / 1.4, 0.4 / 1.4, 0])


def test_shrink_by_hand() -> None:
    image = np.array([[[0, 90, 180], [0, 90, 180], [90, 90, 90]]], np.uint8)
    assert SCRIPT["shrink"](image, 2).tolist() == [[[30, 150], [70, 110]]]


def test_shrink_keeps_the_ink() -> None:
    images = np.zeros((1, 28, 28), np.uint8)
    images[0, 3:25, 5:20] = 250
    assert abs(SCRIPT["shrink"](images, 20).mean() - images.mean()) < 0.5


def test_choose() -> None:
    labels = np.repeat(np.arange(10), 7)
    chosen = SCRIPT["choose"](labels, 3, np.random.RandomState(0))
    assert labels[chosen].tolist() == list(range(10)) * 3
    assert len(set(chosen)) == 30


def test_write_twice_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        SCRIPT["write_npz"](tmp_path / name, {"x": np.arange(5)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with np.load(tmp_path / "a") as arrays:
        assert arrays["x"].tolist() == [0, 1, 2, 3, 4]
