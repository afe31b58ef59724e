"""ReduceOp: ways to combine the ranks' elements, and which dtypes each is for."""

from enum import Enum
from typing import Any

import numpy as np


class RedOpType(Enum):
    """The ways by name, each with PyTorch's number, which it equals."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM = range(9)

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return self.value == other if isinstance(other, int) else self is other or NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)

    def __call__(self, factor: Any) -> "ReduceOp":
        """PREMUL_SUM(factor): a sum of elements multiplied by `factor`, a number or a tensor of one element."""
        if self is not RedOpType.PREMUL_SUM:
            raise RuntimeError(f"Only PREMUL_SUM supports calling with a factor, got {self}")
        return _make_nccl_premul_sum(factor)


_COMPLEX = (RedOpType.SUM, RedOpType.AVG, RedOpType.PREMUL_SUM)
_BITWISE = (RedOpType.BAND, RedOpType.BOR, RedOpType.BXOR)


class _ReduceOpType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return type.__instancecheck__(cls, instance) or isinstance(instance, RedOpType)


class ReduceOp(metaclass=_ReduceOpType):
    """`ReduceOp.SUM` and so on; `_make_nccl_premul_sum(factor)` makes a sum of elements that are multiplied before."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM = RedOpType
    RedOpType = RedOpType

    def __init__(self, op: Any, factor: Any = None):
        self.op, self.factor = getattr(op, "op", op), factor
        if not isinstance(self.op, RedOpType):
            raise TypeError(f"ReduceOp(): op must be a ReduceOp, got {op!r}")

    def __eq__(self, other: object) -> bool:
        return self.op == getattr(other, "op", other)

    def __hash__(self) -> int:
        return hash(self.op)

    def __repr__(self) -> str:
        return repr(self.op)


reduce_op = ReduceOp


def _make_nccl_premul_sum(factor: Any) -> ReduceOp:
    """A sum of elements multiplied by `factor`, a number or a tensor of one element."""
    return ReduceOp(RedOpType.PREMUL_SUM, float(factor))


def plain(op: Any, dtype: np.dtype, what: str) -> tuple[str, float | None]:
    """The operation's name for `comm`, and the factor of a premultiplied sum.

    Raises TypeError for anything but a ReduceOp, ValueError and RuntimeError (PyTorch's texts) for a dtype that it is
    not for. what: the collective.
    """
    kind, factor = getattr(op, "op", op), getattr(op, "factor", None)
    if isinstance(kind, str) and kind.upper() in RedOpType.__members__:
        kind = RedOpType[kind.upper()]
    if not isinstance(kind, RedOpType):
        raise TypeError(f"{what}(): op must be a ReduceOp, got {op!r}")
    if dtype.kind == "c" and kind not in _COMPLEX:
        raise ValueError(f"{what} does not support {kind} on complex tensors")
    if kind in _BITWISE and dtype.kind not in "biu":
        raise RuntimeError(f"Cannot use ReduceOp.{kind.name} with non-integral dtype")
    if kind is RedOpType.AVG and dtype.kind == "b":
        raise TypeError("Cannot use ReduceOp.AVG with boolean inputs")
    if kind is RedOpType.PREMUL_SUM:
        if factor is None:
            raise ValueError("ReduceOp.PREMUL_SUM needs a factor: make it with _make_nccl_premul_sum(factor)")
        return "sum", factor
    return kind.name.lower(), None
