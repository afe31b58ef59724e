"""Tensor: an array, its device, and its place in the graph. Its methods are given to it by `disttorch/tensors.py`.

A tensor's place in the graph is `(_node, _nr)`: output `_nr` of `_node`; a leaf has no node. Fields that operations
read are slots, which CPython 3.11 reads four times as fast as an attribute whose default is the class's; fields that
are seldom set have their defaults on the class.
"""

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes
from ..devices import CPU, device
from .mode import inferring, mode


class Tensor:
    """A multi-dimensional array of one element type on one device, with automatic differentiation."""

    __slots__ = (
        "__dict__", "__weakref__", "_counter", "_data", "_node", "_nr", "_rg", "_root", "_root_node", "_view", "device",
    )  # fmt: skip
    _data: np.ndarray  # or cupy.ndarray
    device: device
    _rg: bool  # requires_grad; True wherever there is a node
    _node: Any  # grad_fn; None for a leaf
    _nr: int  # which output of `_node`
    _counter: Any  # [number of in-place changes], shared with all that share the memory; None: there were none
    _root: Any  # whose memory this is a view of
    _view: Any  # (parent, function, args) that make this view again
    _root_node: Any  # the root's node when this view's own was made; only views have it

    _grad: "Tensor | None" = None
    _grad_home: "Tensor | None" = None  # memory into which the first gradient goes (a bucket's view)
    _hooks: dict | None = None  # on a leaf's gradient
    _accumulate_hooks: dict | None = None  # after a leaf's gradient has been accumulated
    _retains = False
    _accumulator: Any = None  # weak reference to the AccumulateGrad shown to users
    _inference = False

    __hash__ = object.__hash__

    if TYPE_CHECKING:  # the methods that `tensors.py` gives

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> "Tensor": ...

    __array_priority__ = 1000  # an ndarray on the left hands the operation over to us

    # -- what it is ---------------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.FROM_NUMPY[self._data.dtype]

    @property
    def ndim(self) -> int:
        return self._data.ndim

    # -- its place in the graph ---------------------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        if self._view is not None and self._root._node is not self._root_node:
            _remake_view(self)
        return self._rg

    @requires_grad.setter
    def requires_grad(self, value: bool):
        if not isinstance(value, bool):
            raise RuntimeError("requires_grad must be a bool")
        if self._node is not None:
            if not value:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed "
                    "variable in a "
                    "subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            return
        if value and self._data.dtype.kind not in "fcV":
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        if value and self._inference and not mode.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._rg = bool(value)

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad_fn(self):
        if self._view is not None:
            edge(self)
        return self._node

    @property
    def output_nr(self) -> int:
        return self._nr

    @property
    def grad(self) -> "Tensor | None":
        if self._grad is None and self._node is not None and not self._retains:
            import warnings

            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute "
                "won't be "
                "populated during autograd.backward(). If you indeed want the .grad field to be populated for a "
                "non-leaf "
                "Tensor, use .retain_grad() on the non-leaf Tensor.",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: "Tensor | None"):
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value._data.dtype != self._data.dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{value.dtype.name}' to a tensor with grad_dtype "
                    f"'{dtypes.SCALAR_NAMES[self.dtype]}'. The gradient must match the tensor's grad_dtype (defaults "
                    "to the tensor's dtype)."
                )
            if value.device is not self.device:
                raise RuntimeError(
                    f"attempting to assign a gradient located on device with index '{value.device}' to a tensor "
                    "located on "
                    f"device '{self.device}'. Please ensure that the gradient and the tensor are on the same device"
                )
            if value._data.shape != self._data.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(value._data.shape)}' to a tensor of size "
                    f"'{list(self._data.shape)}'. Please ensure that the gradient and the tensor are the same size"
                )
        self._grad = value

    @grad.deleter
    def grad(self):
        self._grad = None

    @property
    def _version(self) -> int:
        if self._inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return version(self)

    @property
    def _base(self) -> "Tensor | None":
        return None if self._view is None else self._root


_new = Tensor.__new__
housed: weakref.WeakSet = weakref.WeakSet()  # who has given leaves a `_grad_home`: while nobody has, none is looked for


def wrap(data, where: device = CPU, kind: type = Tensor) -> Any:
    """A leaf tensor over `data`, an array that lives on `where` (shared, not copied). kind: Tensor or a subclass."""
    t: Any = _new(kind)
    t._data = data
    t.device = where
    t._rg = False
    t._node = t._view = t._root = t._counter = None
    t._nr = 0
    if inferring and mode.inference:
        t._inference, t._counter = True, InferenceCounter([0])
    return t


class InferenceCounter(list):
    """What stands for the version of a tensor made in inference mode, which may not be changed outside."""

    def __setitem__(self, key, value):
        if not mode.inference:
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a "
                "normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more "
                "details."
            )


def edge(t: Tensor):
    """Where the gradient of `t` goes: (node, output number), (leaf tensor, 0), or None if nobody wants it."""
    if t._view is not None and t._root._node is not t._root_node:
        _remake_view(t)
    if t._node is not None:
        return (t._node, t._nr)
    return (t, 0) if t._rg else None


def _remake_view(t: Tensor):
    """An in-place operation has given the root a new history: let the view's follow from it."""
    parent, function, args = t._view
    t._root_node = t._root._node
    before, mode.grad = mode.grad, True
    try:
        again = function(parent, *args)
    finally:
        mode.grad = before
    t._rg, t._node, t._nr = again._rg, again._node, again._nr


def mark_view(out: Tensor, parent: Tensor, function, args: tuple) -> Tensor:
    """Note that `out` shares `parent`'s memory and equals `function(parent, *args)`."""
    # A detached tensor's views have no part in its source's graph.
    root = parent if parent._view is None else parent._root
    out._root, out._view, out._root_node = root, (parent, function, args), root._node
    if root._counter is None:
        root._counter = [0]
    out._counter = root._counter
    return out


def counter(t: Tensor) -> list:
    if t._counter is None:
        t._counter = [0]
    return t._counter


def version(t: Tensor) -> int:
    return 0 if t._counter is None else t._counter[0]


def alias(t: Tensor, data=None) -> Tensor:
    """A leaf that shares the memory and the version of `t` (detach)."""
    out = wrap(t._data if data is None else data, t.device)
    out._counter = counter(t)
    out._root = t._root if t._root is not None else t
    return out


def accumulator_of(leaf: Tensor):
    """The AccumulateGrad that stands for a leaf in `next_functions`; one object as long as anyone holds it."""
    from .node import AccumulateGrad

    found = leaf._accumulator() if leaf._accumulator is not None else None
    if found is None:
        found = AccumulateGrad(leaf)
        leaf._accumulator = weakref.ref(found)
    return found
