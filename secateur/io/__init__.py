"""Networks on disk."""

from secateur.io.bundle import load, read_tensors, save_bundle

__all__ = ["load", "read_tensors", "save_bundle"]
