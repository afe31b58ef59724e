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

asked: set[memory_format] = set()  # the channels-last formats that the program itself has asked for


def by_kernel(t) -> bool:
    """Whether a kernel, not the program, has laid a tensor out channels-last: PyTorch's would lie row by row.

    Results do not know whence they have their layout. A view is the program's, and so is channels-last memory in a
    program that has asked for that format.
    """
    data = t._data
    if asked or data.ndim < 3 or data.flags.c_contiguous:
        return False
    if t._root is not None and t._root._data.strides != data.strides:
        return False
    return data.transpose(0, *range(2, data.ndim), 1).flags.c_contiguous
