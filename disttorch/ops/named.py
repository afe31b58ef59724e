"""Results with named parts, printed as PyTorch prints its return types."""

from collections import namedtuple
from functools import cache


@cache
def named(name: str, *fields: str):
    """The named tuple type `torch.return_types.<name>`."""
    kind = namedtuple(name, fields)
    kind.__module__ = "torch.return_types"
    kind.__repr__ = _repr
    return kind


def _repr(self) -> str:
    parts = ",\n".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
    return f"torch.return_types.{type(self).__name__}(\n{parts})"


@cache
def _renamed(kind: type, name: str) -> type:
    return type(name, (kind,), {})


def with_node(t, name: str):
    """`t`, its node called `name` as PyTorch calls it, where an operation is made of others here."""
    if t._node is not None:
        t._node.__class__ = _renamed(type(t._node), name)
    return t


def pair(name: str):
    """The type of (values, indices)."""
    return named(name, "values", "indices")
