"""Numbers and names of layouts at the top level."""

from math import e, inf, nan, pi

newaxis = None
strided, sparse_coo, sparse_csr = "torch.strided", "torch.sparse_coo", "torch.sparse_csr"
layout = memory_format = str  # the types of layouts and of memory formats

__all__ = ["e", "inf", "layout", "memory_format", "nan", "newaxis", "pi", "sparse_coo", "sparse_csr", "strided"]
