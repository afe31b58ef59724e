"""autocast: inside it, products take 16-bit operands, and functions that need the range take float32 ones.

The lists are PyTorch's (its notes on automatic mixed precision).
"""

import functools
import threading
import warnings
from typing import Any, ClassVar

from .. import dtypes
from ..autograd.variable import Tensor
from ..devices import device, device_count


class _State(threading.local):
    dtypes: ClassVar[dict] = {}  # device type -> the dtype of products there, where autocast is on
    chosen: ClassVar[dict] = {}  # device type -> the dtype of its last `autocast` or set_autocast_dtype, on or off
    cache = True  # what `cache_enabled` last said; casts are not kept from one call to the next here


state = _State()
_DEFAULT = {"cuda": dtypes.float16, "cpu": dtypes.bfloat16}
_REDUCED = (dtypes.float16, dtypes.bfloat16)
BOTH = ("cpu", "cuda")
# Which functions take what, on which types of device.
LOWER = dict.fromkeys(
    (
        "mm bmm matmul addmm addbmm baddbmm chain_matmul einsum linear conv1d conv2d conv3d conv_transpose1d "
        "conv_transpose2d conv_transpose3d scaled_dot_product_attention multi_head_attention_forward prelu "
        "lstm rnn_tanh rnn_relu rnn_tanh_cell rnn_relu_cell"
    ).split(),
    BOTH,
) | dict.fromkeys("mv addmv addr gru gru_cell lstm_cell".split(), ("cuda",))
FLOAT32 = (
    dict.fromkeys(
        (
            "prod cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss kl_div binary_cross_entropy_with_logits "
            "binary_cross_entropy cdist huber_loss hinge_embedding_loss margin_ranking_loss soft_margin_loss "
            "triplet_margin_loss poisson_nll_loss cosine_embedding_loss multi_margin_loss multilabel_margin_loss "
            "ctc_loss"
        ).split(),
        BOTH,
    )
    | dict.fromkeys(
        (
            "exp expm1 log log2 log10 log1p reciprocal rsqrt pow cumsum cumprod sum norm softmax log_softmax softplus "
            "layer_norm group_norm cosine_similarity dist acos asin cosh tan sinh erfinv renorm logsumexp"
        ).split(),
        ("cuda",),
    )
    | dict.fromkeys(
        (
            "avg_pool3d max_pool3d adaptive_avg_pool3d quantile nanquantile trace cholesky cholesky_inverse "
            "cholesky_solve inverse pinverse svd qr det slogdet grid_sample"
        ).split(),
        ("cpu",),
    )
)


class autocast:
    """`with autocast("cpu", dtype=torch.bfloat16):` (the default dtype: bfloat16 on the CPU, float16 on CUDA devices).

    device_type: "cpu" or "cuda", whose tensors are cast; enabled=False turns it off inside. Also a decorator. With a
    warning it does nothing for CUDA where there is none, and for another dtype. RuntimeError for other device types.
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtypes.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        device_type = device(device_type).type
        if device_type not in _DEFAULT:
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        dtype = dtype or get_autocast_dtype(device_type)
        if enabled and device_type == "cuda" and not device_count():
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2)
            enabled = False
        if enabled and dtype not in _REDUCED:
            name = device_type.upper()
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{name} Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self.device, self.fast_dtype, self._enabled = device_type, dtype, enabled
        self._cache_enabled = state.cache if cache_enabled is None else cache_enabled

    def __enter__(self):
        _install()
        self._before = state.dtypes, state.chosen, state.cache
        others = {kind: d for kind, d in state.dtypes.items() if kind != self.device}
        state.dtypes = {**others, self.device: self.fast_dtype} if self._enabled else others
        state.chosen, state.cache = {**state.chosen, self.device: self.fast_dtype}, self._cache_enabled
        return self

    def __exit__(self, *exc):
        state.dtypes, state.chosen, state.cache = self._before

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return wrapped


def _cast(value: Any, to: dict) -> Any:
    """Tensors of a device type in `to` cast to the dtype that it says there."""
    if isinstance(value, Tensor):
        d = to.get(value.device.type)
        floating = d is not None and value.dtype in (*_REDUCED, dtypes.float32)
        return value.to(d) if floating and value.dtype is not d else value
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(v, to) for v in value)
    return value


def _cast_all(args: tuple, to: dict) -> list:
    return [_cast(a, to) for a in args]


def _cast_weights(args: tuple, to: dict) -> list:
    """A packed LSTM's arguments: on the CPU its products alone take 16-bit operands, its states stay as they are."""
    data, batch_sizes, states, weights, *rest = args
    others = {kind: d for kind, d in to.items() if kind != "cpu"}
    return [_cast(data, others), batch_sizes, _cast(states, others), _cast(weights, to), *rest]


def _casting(function, kinds: tuple, lower: bool):
    @functools.wraps(function)
    def call(*args, **kwargs):
        on = state.dtypes
        if not on:
            return function(*args, **kwargs)
        to = {kind: d if lower else dtypes.float32 for kind, d in on.items() if kind in kinds}
        if not to:
            return function(*args, **kwargs)
        state.dtypes = {}  # what it calls inside has operands of the right dtype already
        cast = _cast_weights if function.__name__ == "lstm" and isinstance(args[3], (tuple, list)) else _cast_all
        try:
            return function(*cast(args, to), **{k: _cast(v, to) for k, v in kwargs.items()})
        finally:
            state.dtypes = on

    return call


@functools.cache
def _install() -> None:
    """Put the casts in front of the listed functions, wherever users reach them; a program without autocast never
    pays.
    """
    import disttorch

    from .. import functional, ops
    from ..nn import functional as nn_functional
    from ..nn.modules import rnn
    from ..tensors import operator

    casting: dict = {}  # one for a function, wherever it is found
    for names, lower in ((LOWER, True), (FLOAT32, False)):
        for name, kinds in names.items():
            for home in (ops, nn_functional, disttorch, functional, rnn, Tensor):
                if name in vars(home):
                    plain = vars(home)[name]
                    if plain not in casting:
                        casting[plain] = _casting(plain, kinds, lower)
                        if home in (ops, nn_functional):
                            casting[plain].__module__, casting[plain].__qualname__ = home.__name__, name  # for pickle
                    setattr(home, name, casting[plain])
    Tensor.__matmul__, Tensor.__pow__ = operator(Tensor.matmul, ()), operator(Tensor.pow)


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a type of device; RuntimeError for a name that is none."""
    return device(device_type).type in _DEFAULT


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether an `autocast` of this type of device is in force in this thread."""
    return device_type in state.dtypes


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """The dtype of products inside `autocast(device_type)`; RuntimeError where there is no autocast."""
    if device_type not in _DEFAULT:
        raise RuntimeError(f"unsupported device type for autocast get_autocast_dtype(): {device_type}")
    return state.chosen.get(device_type, _DEFAULT[device_type])


def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    """The dtype that `autocast(device_type)` uses unless told another."""
    state.chosen = {**state.chosen, device_type: dtype}
    if device_type in state.dtypes:
        state.dtypes = {**state.dtypes, device_type: dtype}


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Turn autocast on or off without a `with`."""
    _install()
    others = {kind: d for kind, d in state.dtypes.items() if kind != device_type}
    state.dtypes = {**others, device_type: get_autocast_dtype(device_type)} if enabled else others


def is_autocast_cpu_enabled() -> bool:
    """`is_autocast_enabled("cpu")`."""
    return is_autocast_enabled("cpu")


def get_autocast_cpu_dtype() -> dtypes.dtype:
    """`get_autocast_dtype("cpu")`."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> dtypes.dtype:
    """`get_autocast_dtype("cuda")`."""
    return get_autocast_dtype("cuda")


def is_autocast_cache_enabled() -> bool:
    """What `autocast(cache_enabled=)` says; casts are not kept from one call to the next here."""
    return state.cache


def clear_autocast_cache() -> None:
    """Nothing is kept."""


def custom_fwd(fwd=None, *, device_type: str = "cuda", cast_inputs: dtypes.dtype | None = None):
    """Decorates a Function's forward: its inputs are cast, and autocast is off inside, if `cast_inputs` is given."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx, *args, **kwargs):
        on = is_autocast_enabled(device_type)
        ctx._autocast = {"dtype": get_autocast_dtype(device_type), "enabled": on and cast_inputs is None}
        if cast_inputs is None or not on:
            return fwd(ctx, *args, **kwargs)
        to = {device_type: cast_inputs}
        with autocast(device_type, enabled=False):
            return fwd(ctx, *[_cast(a, to) for a in args], **{k: _cast(v, to) for k, v in kwargs.items()})

    return forward


def custom_bwd(bwd=None, *, device_type: str = "cuda"):
    """Decorates a Function's backward, which runs under the autocast that `custom_fwd` found."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx, *args, **kwargs):
        with autocast(device_type, **ctx._autocast):
            return bwd(ctx, *args, **kwargs)

    return backward
