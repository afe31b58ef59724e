"""Adaptive pooling: the windows are laid so that the output has the size asked for."""

from ..autograd.op import Op
from ..dtypes import SCALAR_NAMES
from .arguments import need_tensor
from .matmul import kernels_of
from .pooling import _put


def _sizes(name, output_size, x, n):
    """One int per axis; None keeps the input's size."""
    if not isinstance(output_size, (tuple, list)):
        output_size = (output_size,) * n
    elif n > 1 and len(output_size) > x.ndim - 1:
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    if len(output_size) == 1:
        output_size = (*output_size,) * n
    if len(output_size) != n:
        raise RuntimeError(f"{name}(): internal error: output_size.size() must be {n}")
    if x.ndim < n + 1:
        return ()  # `_check` complains
    sizes = tuple([x.shape[d - n] if s is None else s.__index__() for d, s in enumerate(output_size)])
    if any(s < 0 for s in sizes):
        told = ", ".join(map(str, sizes))
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received {{{told}}}"
        )
    return sizes


def _check(name, input, n, colon):
    need_tensor(input, name, "input", 1)
    x = input._data
    if x.ndim not in (n + 1, n + 2):
        if n == 1:
            raise RuntimeError(
                f"Expected 2 to 3 dimensions, but got {x.ndim}-dimensional tensor for argument #1 'self' (while "
                f"checking arguments for {name})"
            )
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got{colon} {list(x.shape)}")
    for d in range(x.ndim - n, x.ndim):
        if x.shape[d] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{list(x.shape)} with dimension {d} being empty"
            )
    if x.dtype.kind not in "fV":
        raise NotImplementedError(f"\"{name}\" not implemented for '{SCALAR_NAMES[input.dtype]}'")


def _make_average(n):
    name = f"adaptive_avg_pool{n}d"
    op = Op(
        "SqueezeBackward1" if n == 1 else f"AdaptiveAvgPool{n}DBackward0",
        lambda x, sizes: kernels_of(x).adaptive_avg_pool_forward(x, sizes),
        x=lambda g, x_shape: back(g, x_shape),
    )
    back = Op(
        f"AdaptiveAvgPool{n}DBackwardBackward0",
        lambda y, shape: kernels_of(y).adaptive_avg_pool_backward(y, shape),
        y=lambda g, y_shape: op(g, y_shape[2:]),
    )

    def adaptive_avg_pool(input, output_size):
        need_tensor(input, name, "input", 1)
        sizes = _sizes(name, output_size, input._data, n)
        if sizes == (1,) * n and n > 1 and input._data.size:
            return input.mean(tuple(range(-n, 0)), keepdim=True)
        _check(name, input, n, ",")
        if input._data.ndim == n + 1:
            return op(input.unsqueeze(0), sizes).squeeze(0)
        return op(input, sizes)

    adaptive_avg_pool.__name__ = adaptive_avg_pool.__qualname__ = name
    adaptive_avg_pool.__doc__ = (
        f"Means of windows laid so that the {n} spatial axes have `output_size` (None keeps one's size)."
    )
    return adaptive_avg_pool


def _make_max(n):
    name = f"adaptive_max_pool{n}d"
    op = Op(
        "SqueezeBackward1" if n == 1 else f"AdaptiveMaxPool{n}DBackward0",
        lambda x, sizes: kernels_of(x).adaptive_max_pool_forward(x, sizes),
        outputs=("out", "indices"),
        x=lambda g, x_shape, indices: _put(g[0], indices, x_shape),
    )

    def with_indices(input, output_size, return_indices=True):
        need_tensor(input, name, "input", 1)
        sizes = _sizes(name, output_size, input._data, n)
        _check(name, input, n, ":")
        if input._data.ndim == n + 1:
            values, indices = op(input.unsqueeze(0), sizes)
            return values.squeeze(0), indices.squeeze(0)
        return op(input, sizes)

    def adaptive_max_pool(input, output_size, return_indices=False):
        values, indices = with_indices(input, output_size)
        return (values, indices) if return_indices else values

    adaptive_max_pool.__name__ = adaptive_max_pool.__qualname__ = name
    adaptive_max_pool.__doc__ = (
        f"Maxima of windows laid so that the {n} spatial axes have `output_size`; also their positions."
    )
    with_indices.__name__ = with_indices.__qualname__ = name + "_with_indices"
    with_indices.__doc__ = f"`{name}` with return_indices=True."
    return adaptive_max_pool, with_indices


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = _make_average(1), _make_average(2), _make_average(3)
adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _make_max(1)
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _make_max(2)
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _make_max(3)

__all__ = ["adaptive_avg_pool1d", "adaptive_max_pool1d"]
