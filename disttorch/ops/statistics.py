"""Covariances, differences, integrals and derivatives of sampled functions."""

import warnings

from .. import dtypes
from ..autograd.inplace import write
from ..autograd.variable import Tensor
from .arguments import need_tensor
from .arithmetic import conj
from .cutting import narrow
from .dims import axes, axis
from .joining import cat, stack
from .running import cumsum


def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariance matrix of variables (rows) from their observations (columns), weighted if asked for."""
    need_tensor(input, "cov", "input", 1)
    if input._data.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input._data.ndim} dimensions"
        )
    if input.dtype is dtypes.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input if input._data.ndim == 2 else input.reshape(1, -1)
    count = x._data.shape[1]
    _check_weights("fweights", fweights, count)
    _check_weights("aweights", aweights, count)
    if fweights is not None and fweights._data.dtype.kind not in "iu":
        raise RuntimeError(
            "cov(): expected fweights to have integral dtype but got fweights with "
            f"{dtypes.SCALAR_NAMES[fweights.dtype]} dtype"
        )
    if aweights is not None and not aweights.dtype.is_floating_point:
        raise RuntimeError(
            "cov(): expected aweights to have floating point dtype but got aweights with "
            f"{dtypes.SCALAR_NAMES[aweights.dtype]} dtype"
        )
    x = x if x.dtype.category >= dtypes.FLOATING else x.to(dtypes.get_default_dtype())
    w = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    total = count if w is None else w.sum()
    mean = (x.mean(1, True) if w is None else (x * w).sum(1, True) / total) if count else x.sum(1, True) / 0
    if w is not None and aweights is not None and correction:
        freedom = total - correction * (w * aweights).sum() / total
    else:
        freedom = total - correction
    if float(freedom) <= 0:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            stacklevel=2,
        )
        freedom = freedom * 0
    centred = x - mean
    weighted = centred if w is None else centred * w
    return (weighted @ conj(centred.t())).true_divide(freedom).squeeze()


def _check_weights(name: str, w, count: int) -> None:
    if w is None:
        return
    if w._data.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w._data.ndim} dimensions"
        )
    if w._data.size != count:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{w._data.size} != {count}"
        )
    if w._data.size and w._data.min() < 0:
        raise RuntimeError(f"cov(): {name} cannot be negative")


def corrcoef(input):
    """Pearson's correlation coefficients of variables (rows) from their observations (columns)."""
    need_tensor(input, "corrcoef", "input", 1)
    if input._data.ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input._data.ndim} "
            "dimensions"
        )
    c = cov(input)
    if c._data.ndim == 0:
        return c / c
    d = c.diagonal()
    spread = (d.real if d.dtype.is_complex else d).sqrt()
    c = c / spread.unsqueeze(-1) / spread.unsqueeze(0)
    if not c.dtype.is_complex:
        return c.clamp(-1, 1)
    from .complexes import complex

    return complex(c.real.clamp(-1, 1), c.imag.clamp(-1, 1))


def diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    """The n-th differences of neighbours along `dim`."""
    need_tensor(input, "diff", "input", 1)
    if input._data.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    d = axis(dim, input._data.ndim)
    parts = [t for t in (prepend, input, append) if t is not None]
    for t in parts:
        if t._data.ndim != input._data.ndim:
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")
        if any(a != b for i, (a, b) in enumerate(zip(t._data.shape, input._data.shape, strict=True)) if i != d):
            raise RuntimeError(
                "diff expects the shape of tensor to prepend or append to match that of input except along the "
                "differencing dimension"
            )
    x = cat(parts, d) if len(parts) > 1 and n else input
    for _ in range(n):
        size = x._data.shape[d]
        if size == 0:
            break
        after, before = narrow(x, d, 1, size - 1), narrow(x, d, 0, size - 1)
        x = after.logical_xor(before) if x.dtype is dtypes.bool_ else after - before
    return write(out, x if x is not input else input.clone())


# -- integrals --------------------------------------------------------------------------------------------------------
def _spacing(y, x, dx, d: int):
    """Widths of the intervals: a number, or a tensor that broadcasts against y's pairs of neighbours."""
    if x is None:
        return 1 if dx is None else dx
    if x._data.ndim == 1 and y._data.ndim > 1:
        if x._data.size != y._data.shape[d]:
            raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
        x = x.reshape([-1 if i == d else 1 for i in range(y._data.ndim)])
    else:
        d = axis(d - y._data.ndim, x._data.ndim) if x._data.ndim else d
    if x._data.ndim == 0:
        raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
    count = x._data.shape[d]
    if count != y._data.shape[d]:
        raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
    return narrow(x, d, 1, count - 1) - narrow(x, d, 0, count - 1)


def _areas(y, x, dx, d: int):
    count = y._data.shape[d]
    if y.dtype is dtypes.bool_:
        raise RuntimeError("trapezoid: received a bool input for `y`, but bool is not supported")
    if isinstance(dx, bool):
        raise RuntimeError("trapezoid: Currently, we only support dx as a real number")
    pairs = narrow(y, d, 1, count - 1) + narrow(y, d, 0, count - 1)
    return pairs * _spacing(y, x, dx, d) / 2.0


def trapezoid(y, x=None, *, dx=None, dim=-1):
    """The integral along `dim` by the trapezoidal rule, at points `x` or `dx` apart."""
    d = axis(dim, y._data.ndim)
    if y._data.shape[d] == 0:
        shape = [s for i, s in enumerate(y._data.shape) if i != d]
        return y.new_zeros(shape)
    return _areas(y, x, dx, d).sum(d)


trapz = trapezoid


def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    """The running integral along `dim` by the trapezoidal rule."""
    d = axis(dim, y._data.ndim)
    return cumsum(_areas(y, x, dx, d), d)


# -- derivatives ------------------------------------------------------------------------------------------------------
def gradient(input, *, spacing=None, dim=None, edge_order=1):
    """Derivatives of a sampled function by central differences: a list with one tensor per dimension.

    spacing: a number, one per dimension, or a tensor of coordinates per dimension; edge_order: of the one-sided
    differences.
    """
    need_tensor(input, "gradient", "input", 1)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    dims = list(axes(dim, input._data.ndim))
    spacing = 1 if spacing is None else spacing
    if isinstance(spacing, (Tensor, int, float, complex)):
        spacing = [spacing] * (1 if isinstance(spacing, Tensor) else len(dims))
    if len(spacing) != len(dims):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar or a list of length equal to 'self.dim() = "
            f"{input._data.ndim}', since dim argument was not given, but got a list of length {len(spacing)}"
            if dim is None
            else "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to "
            f"have the same length, but got a spacing argument of length {len(spacing)} and a dim argument of "
            f"length {len(dims)}."
        )
    for d in dims:
        if input._data.shape[d] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    if input.dtype.category < dtypes.FLOATING:
        input = input.to(dtypes.get_default_dtype())
    return tuple([_derivative(input, d, h, edge_order) for d, h in zip(dims, spacing, strict=True)])


def _derivative(x, d: int, spacing, edge_order: int):
    n = x._data.shape[d]
    at = lambda i: narrow(x, d, i % n, 1)  # noqa: E731
    if isinstance(spacing, Tensor) and spacing._data.ndim:
        steps = (spacing[1:] - spacing[:-1]).reshape([-1 if i == d else 1 for i in range(x._data.ndim)])
    else:
        h = spacing.item() if isinstance(spacing, Tensor) else spacing
        steps = x.new_full([n - 1 if i == d else 1 for i in range(x._data.ndim)], h)
    h1, h2 = narrow(steps, d, 0, n - 2), narrow(steps, d, 1, n - 2)
    middle = None
    if n > 2:
        before, here, after = (narrow(x, d, k, n - 2) for k in range(3))
        middle = before * (-h2 / (h1 * (h1 + h2))) + here * ((h2 - h1) / (h1 * h2)) + after * (h1 / (h2 * (h1 + h2)))
    first, last = narrow(steps, d, 0, 1), narrow(steps, d, n - 2, 1)
    if edge_order == 1:
        start, end = (at(1) - at(0)) / first, (at(-1) - at(-2)) / last
    else:
        a, b = first, narrow(steps, d, 1, 1)
        start = at(0) * (-(2 * a + b) / (a * (a + b))) + at(1) * ((a + b) / (a * b)) - at(2) * (a / (b * (a + b)))
        a, b = narrow(steps, d, n - 3, 1), last
        end = at(-3) * (b / (a * (a + b))) - at(-2) * ((a + b) / (a * b)) + at(-1) * ((a + 2 * b) / (b * (a + b)))
    return cat([start, end] if middle is None else [start, middle, end], d)


# -- combinations -----------------------------------------------------------------------------------------------------
def block_diag(*tensors):
    """A matrix with the given matrices along its diagonal."""
    blocks = []
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(
                "block_diag(): argument 'tensors' (position 1) must be tuple of Tensors, but found element of type "
                f"{type(t).__name__} at pos {i}"
            )
        if t._data.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {t._data.ndim} "
                "dimensions"
            )
        blocks.append(t.reshape(1, -1) if t._data.ndim < 2 else t)
    width = sum(b._data.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        m, n = b._data.shape
        rows.append(cat([b.new_zeros((m, left)), b, b.new_zeros((m, width - left - n))], 1))
        left += n
    return cat(rows, 0)


def vander(x, N=None, increasing=False):
    """The powers of each element as columns, highest first unless `increasing`."""
    need_tensor(x, "vander", "x", 1)
    if x._data.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x._data.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    if x._data.dtype.kind in "iub":
        x = x.to(dtypes.int64)
    order = range(n) if increasing else range(n - 1, -1, -1)
    return stack([x**k for k in order], -1) if n else x.new_empty((x._data.shape[0], 0))


__all__ = [
    "block_diag", "corrcoef", "cov", "cumulative_trapezoid", "diff", "gradient", "trapezoid", "trapz", "vander",
]  # fmt: skip
