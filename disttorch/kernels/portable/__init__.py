"""Kernels written over an array namespace (NumPy or CuPy): every dtype, every shape, every platform."""

from disttorch.kernels.portable.backend import Portable

__all__ = ["Portable"]
