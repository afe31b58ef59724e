"""Layouts and memory formats: names that print as PyTorch prints them."""


class layout(str):
    """How a tensor's elements are kept; tensors here are all `strided`."""

    __slots__ = ()
    __repr__ = str.__str__


class memory_format(str):
    """The order in which a copy's elements lie in memory."""

    __slots__ = ()
    __repr__ = str.__str__


strided, sparse_coo, sparse_csr = layout("torch.strided"), layout("torch.sparse_coo"), layout("torch.sparse_csr")
contiguous_format, preserve_format = memory_format("torch.contiguous_format"), memory_format("torch.preserve_format")
channels_last, channels_last_3d = memory_format("torch.channels_last"), memory_format("torch.channels_last_3d")
