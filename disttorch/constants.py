"""Numbers and names of layouts at the top level."""

from math import e, inf, nan, pi

from .layouts import layout, memory_format, sparse_coo, sparse_csr, strided

newaxis = None

__all__ = ["e", "inf", "layout", "memory_format", "nan", "newaxis", "pi", "sparse_coo", "sparse_csr", "strided"]
