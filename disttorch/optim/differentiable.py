"""differentiable=True: steps through which gradients flow.

The rules of `Elementwise` optimizers are written for arrays, in place. Here the same rules run on `Traced` values,
which answer NumPy's calls with operations on tensors: what a rule writes into an array becomes a new tensor in its
place, and when the rule is done the parameter and its state take up what has become of them, with their history.
"""

import numpy as np

from .. import ops
from ..autograd.inplace import as_it_was, assign
from ..autograd.mode import enable_grad
from ..autograd.variable import Tensor
from ..kernels.portable.updating import Updating
from ..ops.matmul import kernels_of


def step(optimizer, group: dict) -> None:
    """Step the parameters of a group, recorded. They may not be leaves that require a gradient (RuntimeError)."""
    if group.get("foreach"):
        raise AssertionError("_foreach ops don't support autograd")
    settings = {k: v if k == "params" else _watched(v) for k, v in group.items()}
    with enable_grad():
        for p in group["params"]:
            if p._grad is not None:
                _step(optimizer, settings, p)


def _step(optimizer, settings: dict, p: Tensor) -> None:
    fresh, state = optimizer.prepare(p, settings), optimizer.state[p]
    count = 0
    if optimizer.counted:
        state["step"] += 1
        count = int(state["step"].item())
    update = optimizer.update_of(settings, count, _Scalars(state), fresh)
    written = [p, *[state[name] for name in optimizer.slots(settings)]]
    given = [as_it_was(p), p._grad, *map(as_it_was, written[1:])]
    traced = [Traced(ops.view_as_real(t) if t.is_complex() else t) for t in given]
    update(*traced)
    del traced[1]
    for t, value in zip(written, traced, strict=True):
        # A clone: its node saves nothing, so the next step may change what this one has made.
        assign(t, ops.view_as_complex(value.tensor) if t.is_complex() else value.tensor.clone())


def _watched(setting):
    """A setting given as a tensor that requires a gradient, traced; others as they are."""
    if isinstance(setting, tuple):
        return tuple([_watched(s) for s in setting])
    return Traced(setting) if isinstance(setting, Tensor) and setting.requires_grad else setting


class _Scalars:
    """A parameter's numbers by name."""

    def __init__(self, state: dict):
        self._state = state

    def __getitem__(self, name: str):
        t = self._state[name]
        return Traced(as_it_was(t)) if t.requires_grad else t.item()

    def __setitem__(self, name: str, value) -> None:
        t = self._state[name]
        assign(t, value.tensor.to(t.dtype).clone() if isinstance(value, Traced) else ops.full_like(t, value))


def _plain(x):
    return x.tensor if isinstance(x, Traced) else x


def _operator(name: str):
    def apply(self, other):
        return Traced(getattr(self.tensor, name)(_plain(other)))

    return apply


def _inplace(name: str):
    def apply(self, other):
        self.tensor = getattr(self.tensor, name)(_plain(other))
        return self

    return apply


def kernels_for(p):
    """The kernels for an array that a rule is given."""
    return p.kernels if isinstance(p, Traced) else kernels_of(p)


class Traced:
    """Behaves like an array in a rule; `tensor` is what it is now."""

    kernels = Updating()  # those whose formulas hold for whatever can be added and multiplied

    def __init__(self, tensor: Tensor):
        self.tensor = tensor

    for _name in ("add", "sub", "mul", "truediv", "pow"):
        for _form in (f"__{_name}__", f"__r{_name}__"):
            locals()[_form] = _operator(_form)
        locals()[f"__i{_name}__"] = _inplace(f"__{_name}__")
    for _form in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__"):
        locals()[_form] = _operator(_form)
    del _name, _form
    __hash__ = object.__hash__

    def __neg__(self):
        return Traced(-self.tensor)

    def __abs__(self):
        return Traced(abs(self.tensor))

    def __bool__(self):
        return bool(self.tensor)

    def __setitem__(self, where, value):
        value = _plain(value)
        self.tensor = value.clone() if where is ... else ops.where(_plain(where), value, self.tensor)

    @property
    def dtype(self):
        return self.tensor.dtype

    def astype(self, dtype):
        return Traced(self.tensor.to(dtype)) if self.tensor.dtype is not dtype else self

    def __array_ufunc__(self, ufunc, method, *inputs, out=None):
        return _answer(_FUNCTIONS[ufunc], inputs, None if out is None else out[0])

    def __array_function__(self, function, types, args, kwargs):
        return _answer(_FUNCTIONS[function], args, kwargs.get("out"))


def _answer(function, args: tuple, out: Traced | None) -> Traced:
    value = function(*map(_plain, args))
    if out is None:
        return Traced(value)
    out.tensor = value
    return out


_FUNCTIONS = {
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a - b,
    np.multiply: lambda a, b: a * b,
    np.divide: lambda a, b: a / b,
    np.maximum: ops.maximum,
    np.sqrt: ops.sqrt,
    np.abs: ops.abs,
    np.sign: ops.sign,
    np.clip: ops.clamp,
    np.where: ops.where,
}
