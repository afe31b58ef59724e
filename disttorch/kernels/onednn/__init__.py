"""Kernels of oneDNN, called through ctypes."""

from disttorch.kernels.onednn.backend import load

__all__ = ["load"]
