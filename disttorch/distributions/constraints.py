"""Sets of values that parameters and samples lie in: `constraint.check(value)` says where."""

from collections.abc import Callable
from typing import Any

from .. import ops
from ..autograd.variable import Tensor


class Constraint:
    """A set. `check(value)` is True where the value's elements (or vectors, for event_dim > 0) belong to it."""

    def __init__(self, name: str, check: Callable[[Tensor], Tensor], *, is_discrete: bool = False, event_dim: int = 0):
        self._name, self.check = name, check
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __repr__(self):
        return self._name


def _whole(value: Tensor) -> Tensor:
    return value % 1 == 0


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Values from `lower_bound` to `upper_bound`, both included."""
    return Constraint(
        f"Interval(lower_bound={lower_bound}, upper_bound={upper_bound})",
        lambda v: (lower_bound <= v) & (v <= upper_bound),
    )


def greater_than(lower_bound: Any) -> Constraint:
    """Values above `lower_bound`."""
    return Constraint(f"GreaterThan(lower_bound={lower_bound})", lambda v: v > lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Values from `lower_bound` on."""
    return Constraint(f"GreaterThanEq(lower_bound={lower_bound})", lambda v: v >= lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """Values below `upper_bound`."""
    return Constraint(f"LessThan(upper_bound={upper_bound})", lambda v: v < upper_bound)


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers from `lower_bound` to `upper_bound`, both included."""
    return Constraint(
        f"IntegerInterval(lower_bound={lower_bound}, upper_bound={upper_bound})",
        lambda v: _whole(v) & (lower_bound <= v) & (v <= upper_bound),
        is_discrete=True,
    )


def _every(check: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda v: ops.all(check(v), -1)


real = Constraint("Real()", lambda v: v == v)
real_vector = Constraint("IndependentConstraint(Real(), 1)", _every(real.check), event_dim=1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
boolean = Constraint("Boolean()", lambda v: (v == 0) | (v == 1), is_discrete=True)
nonnegative_integer = Constraint("IntegerGreaterThan(lower_bound=0)", lambda v: _whole(v) & (v >= 0), is_discrete=True)
positive_integer = Constraint("IntegerGreaterThan(lower_bound=1)", lambda v: _whole(v) & (v >= 1), is_discrete=True)
simplex = Constraint("Simplex()", lambda v: ops.all(v >= 0, -1) & ((v.sum(-1) - 1).abs() < 1e-6), event_dim=1)
one_hot = Constraint(
    "OneHot()", lambda v: ops.all((v == 0) | (v == 1), -1) & (v.sum(-1) == 1), is_discrete=True, event_dim=1
)
positive_vector = Constraint(
    "IndependentConstraint(GreaterThan(lower_bound=0.0), 1)", _every(positive.check), event_dim=1
)
lower_cholesky = Constraint(
    "LowerCholesky()",
    lambda v: ops.all(ops.all(ops.tril(v) == v, -1), -1) & ops.all(ops.diagonal(v, dim1=-2, dim2=-1) > 0, -1),
    event_dim=2,
)


def _positive_definite(v: Tensor) -> Tensor:
    from .. import linalg

    symmetric = ops.all(ops.all(ops.isclose(v, v.mT, atol=1e-6), -1), -1)
    return symmetric & (linalg.cholesky_ex(v).info == 0)


positive_definite = Constraint("PositiveDefinite()", _positive_definite, event_dim=2)
