"""autocast: inside it, products take 16-bit operands, and functions that need the range take float32 ones.

The lists are PyTorch's (its notes on automatic mixed precision).
"""

import functools
import threading
from typing import Any

from .. import dtypes
from ..autograd.variable import Tensor


class _State(threading.local):
    dtype: dtypes.dtype | None = None  # None: off


state = _State()
_DEFAULT = {"cuda": dtypes.float16, "cpu": dtypes.bfloat16}
LOWER = (
    "mm bmm mv matmul addmm addbmm baddbmm addmv chain_matmul linear conv1d conv2d conv3d conv_transpose1d "
    "conv_transpose2d conv_transpose3d scaled_dot_product_attention prelu"
).split()
FLOAT32 = (
    "exp expm1 log log2 log10 log1p reciprocal rsqrt pow prod cumsum cumprod sum norm softmax log_softmax softplus "
    "cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss kl_div binary_cross_entropy_with_logits layer_norm "
    "group_norm cosine_similarity cdist dist"
).split()


class autocast:
    """`with autocast("cpu", dtype=torch.bfloat16):` (the default dtype: bfloat16 on the CPU, float16 on CUDA devices).

    device_type: "cpu" or "cuda"; enabled=False turns it off inside. Also a decorator.
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtypes.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        if device_type not in _DEFAULT:
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        dtype = dtype or _DEFAULT[device_type]
        if dtype not in (dtypes.float16, dtypes.bfloat16):
            raise RuntimeError(f"Currently, autocast only supports dtype of torch.bfloat16, torch.float16, got {dtype}")
        self._dtype = dtype if enabled else None

    def __enter__(self):
        _install()
        self._before, state.dtype = state.dtype, self._dtype
        return self

    def __exit__(self, *exc):
        state.dtype = self._before

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return wrapped


def _cast(value: Any, to: dtypes.dtype) -> Any:
    if isinstance(value, Tensor):
        return (
            value.to(to)
            if value.dtype in (dtypes.float16, dtypes.bfloat16, dtypes.float32) and value.dtype is not to
            else value
        )
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(v, to) for v in value)
    return value


def _casting(function, lower: bool):
    @functools.wraps(function)
    def call(*args, **kwargs):
        if state.dtype is None:
            return function(*args, **kwargs)
        to = state.dtype if lower else dtypes.float32
        dtype, state.dtype = state.dtype, None  # what it calls inside has operands of the right dtype already
        try:
            return function(*[_cast(a, to) for a in args], **{k: _cast(v, to) for k, v in kwargs.items()})
        finally:
            state.dtype = dtype

    return call


@functools.cache
def _install() -> None:
    """Put the casts in front of the listed functions, wherever users reach them; a program without autocast never
    pays.
    """
    import disttorch

    from .. import ops
    from ..nn import functional

    for names, lower in ((LOWER, True), (FLOAT32, False)):
        for name in names:
            for home in (disttorch, ops, functional, Tensor):
                if name in vars(home):
                    setattr(home, name, _casting(vars(home)[name], lower))
    Tensor.__matmul__ = Tensor.matmul
    Tensor.__pow__ = Tensor.pow


def is_autocast_available(device_type: str) -> bool:
    return device_type in _DEFAULT


def is_autocast_enabled(device_type: str | None = None) -> bool:
    return state.dtype is not None


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    return state.dtype or _DEFAULT[device_type]


def custom_fwd(fwd=None, *, device_type: str = "cuda", cast_inputs: dtypes.dtype | None = None):
    """Decorates a Function's forward: its inputs are cast, and autocast is off inside, if `cast_inputs` is given."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args, **kwargs):
        if cast_inputs is None or state.dtype is None:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*[_cast(a, cast_inputs) for a in args], **{k: _cast(v, cast_inputs) for k, v in kwargs.items()})

    return forward


def custom_bwd(bwd=None, *, device_type: str = "cuda"):
    """Decorates a Function's backward."""
    return functools.partial(custom_bwd, device_type=device_type) if bwd is None else bwd
