"""Softmax and its kin over one dimension."""

import warnings

from ..autograd.inplace import write
from ..autograd.mode import mode
from ..autograd.op import Op
from ..autograd.variable import Tensor
from .arguments import need_floating, need_tensor
from .dims import axis
from .fused import fused
from .matmul import kernels_of


def _softmax_rule(g, out, dim):
    if not mode.grad:
        return fused("softmax_backward", g, out, dim)
    gy = g * out
    return gy - out * gy.sum(dim, keepdim=True)


def _log_softmax_rule(g, out, dim):
    if not mode.grad:
        return fused("log_softmax_backward", g, out, dim)
    return g - out.exp() * g.sum(dim, keepdim=True)


_softmax = Op("SoftmaxBackward0", lambda x, dim: kernels_of(x).softmax_forward(x, dim), x=_softmax_rule)
_log_softmax = Op("LogSoftmaxBackward0", lambda x, dim: kernels_of(x).log_softmax_forward(x, dim), x=_log_softmax_rule)


def _normalised(op, name):
    def function(input, dim, dtype=None, *, out=None):
        if not isinstance(input, Tensor):
            need_tensor(input, name, "input", 1)
        if dtype is not None:
            input = input.to(dtype)
        x = input._data
        if x.dtype.kind != "f":
            need_floating(input, f"{name}_lastdim_kernel_impl" if axis(dim, x.ndim) == x.ndim - 1 else name)
        d = axis(dim, x.ndim)
        result = op.of_one(input, d) if x.ndim else op(input.reshape(1), 0).reshape(())
        return result if out is None else write(out, result)

    function.__name__ = function.__qualname__ = name
    return function


softmax = _normalised(_softmax, "softmax")
softmax.__doc__ = "exp(x) / sum(exp(x)) along `dim`, the input first converted to `dtype` if given."
log_softmax = _normalised(_log_softmax, "log_softmax")
log_softmax.__doc__ = "The logarithm of softmax along `dim`, computed without overflow."


def _implicit_dim(name, ndim, stacklevel):
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def functional_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """exp(x) / sum(exp(x)) along `dim`, the input first converted to `dtype` if given."""
    return softmax(input, _implicit_dim("softmax", input._data.ndim, _stacklevel) if dim is None else dim, dtype)


def functional_log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """The logarithm of softmax along `dim`, computed without overflow."""
    return log_softmax(
        input, _implicit_dim("log_softmax", input._data.ndim, _stacklevel) if dim is None else dim, dtype
    )


def functional_softmin(input, dim=None, _stacklevel=3, dtype=None):
    """softmax(-input) along `dim`."""
    return softmax(-input, _implicit_dim("softmin", input._data.ndim, _stacklevel) if dim is None else dim, dtype)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """Samples of the Gumbel-softmax distribution with temperature tau; `hard`: one-hot, with the soft sample's
    gradient.

    Jang et al., "Categorical Reparameterization with Gumbel-Softmax" (2017).
    """
    need_tensor(logits, "gumbel_softmax", "logits", 1)
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    from ..layouts import contiguous_format
    from .creation import empty_like

    gumbels = -empty_like(logits.detach(), memory_format=contiguous_format).exponential_().log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    picked = soft.detach().argmax(dim, keepdim=True)
    return soft.detach().new_zeros(soft._data.shape).scatter(dim, picked, 1.0) - soft.detach() + soft


__all__ = ["log_softmax", "softmax"]
