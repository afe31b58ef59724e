"""What the functions of `torch.distributed` are given, checked: whether this rank is in the group, tensors, roots."""

import operator
import warnings
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from ..autograd.variable import Tensor
from .process_group import GroupMember, ProcessGroup, get_group_rank


def outside(group: Any, what: str) -> bool:
    """Whether this rank is not in the group: then the function, which is called `what`, warns and does nothing."""
    if not isinstance(group, int) or group != GroupMember.NON_GROUP_MEMBER:
        return False
    rank = -1 if GroupMember.WORLD is None else GroupMember.WORLD.rank()
    text = f"Running {what} on global rank {rank} which does not belong to the given group."
    warnings.warn(text, stacklevel=3)
    return True


def check_tensor(t: Any, what: str) -> None:
    if not isinstance(t, Tensor):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{what}` of type torch.Tensor\n"
            f"             but got {type(t)} instead."
        )


def check_list(tensors: Any, what: str) -> None:
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(t, Tensor) for t in tensors):
        kind = [type(t) for t in tensors] if isinstance(tensors, (list, tuple)) else type(tensors)
        raise TypeError(
            f"Invalid function argument. Expected parameter `{what}` of type List[torch.Tensor]\n"
            f"             but got {kind} instead."
        )


def check_dtypes(*tensors: Tensor | Iterable[Tensor], parts: bool = False) -> None:
    """ValueError unless all tensors, those in lists too, are of one dtype; `parts`: that of a complex one's parts."""
    every = chain.from_iterable([t] if isinstance(t, Tensor) else t for t in tensors)
    first = next(every)
    for t in every:
        here, there = (x._data.real.dtype if parts else x._data.dtype for x in (t, first))
        if here != there:
            raise ValueError(f"Invalid usage of tensors with different dtypes. Found {first.dtype} and {t.dtype}")


def as_real(array: np.ndarray) -> np.ndarray:
    """A contiguous complex array as its parts, (..., 2); any other as it is."""
    return array.reshape(*array.shape, 1).view(array.real.dtype) if array.dtype.kind == "c" else array


def integer(given: Any, name: str, what: str) -> int:
    """`given` as an int; TypeError says that `name` must be `what`."""
    try:
        return operator.index(given)
    except TypeError:
        raise TypeError(f"{name} must be {what}, got {type(given).__name__}: {given!r}") from None


def root_of(group: ProcessGroup, rank: Any, group_rank: Any, name: str) -> int:
    """A rank's number in the group, from its global or its group rank.

    ValueError unless one of them is given, and for one that is not in the group; TypeError for one that is no integer.
    """
    if rank is not None and group_rank is not None:
        raise ValueError(f"Can't specify both {name} and group_{name}")
    if rank is None and group_rank is None:
        raise ValueError(f"Must specify {name} or group_{name}")
    given, called = (rank, name) if group_rank is None else (group_rank, f"group_{name}")
    number = integer(given, called, "a rank (int)")
    return get_group_rank(group, number) if group_rank is None else number
