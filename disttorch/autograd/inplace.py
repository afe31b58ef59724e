"""In-place operations: the value is computed as by the out-of-place operation, then takes the tensor's place.

For a view, the root's history changes too: `CopySlices` sends through the operation only that part of the root's gradient
that the view covers, and the view's own history is remade from the root's when next asked for.
"""

import functools
import sys

import numpy as np

from .. import dtypes
from ..devices import scope
from .mode import mode, no_grad
from .node import Node
from .op import zeros
from .sweep import fit
from .variable import Tensor, counter, edge, wrap


def check_inplace(t: Tensor) -> None:
    """RuntimeError (PyTorch's text) where autograd could not follow a change of `t`."""
    if not mode.grad:
        return
    if t._node is None and t._rg:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    root = t._root
    if t._view is not None and root._rg and root._node is None:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def assign(t: Tensor, out: Tensor) -> Tensor:
    """Let `t` become `out` in place: value, version and history. Returns `t`."""
    check_inplace(t)
    data, new = t._data, out._data
    if new.shape != data.shape:
        raise RuntimeError(f"output with shape {list(data.shape)} doesn't match the broadcast shape {list(new.shape)}")
    if new.dtype != data.dtype:
        have, want = out.dtype, t.dtype
        if not dtypes.can_cast(have, want):
            raise RuntimeError(
                f"result type {dtypes.SCALAR_NAMES[have]} can't be cast to the desired output type {dtypes.SCALAR_NAMES[want]}"
            )
    del data
    replace_memory(t, out)
    counter(t)[0] += 1
    if mode.grad and (out._rg or t._rg or t._view is not None):
        if t._view is None:
            if out._node is not None:
                t._rg, t._node, t._nr = True, out._node, out._nr
            else:
                t._rg, t._node, t._nr = False, None, 0
        elif out._node is not None:
            _rebase(t, out._node)
    return t


def replace_memory(t: Tensor, out: Tensor) -> None:
    """Put the elements of `out` where those of `t` are; nothing is copied if nobody else can see the memory of `t`."""
    if t._root is None and out._data.dtype == t._data.dtype and _unseen(t) and out._root is None and out._data.base is None:
        t._data = out._data
        return
    with scope(t.device):
        t._data[...] = out._data


def _unseen(t: Tensor) -> bool:
    return sys.getrefcount(t._data) <= _UNSEEN and t._data.base is None and t._data.flags.writeable


def _calibrate() -> int:
    t = wrap(np.zeros(2))
    return (lambda t: sys.getrefcount(t._data))(t)


_UNSEEN = _calibrate()


def _rebase(view: Tensor, node: Node) -> None:
    """`view` has been changed by `node`: give its root a history in which just that part went through `node`."""
    root = view._root
    copied = CopySlices(root, view, node)
    root._rg, root._node, root._nr = True, copied, 0
    if view is not root:
        view._root_node = None  # remade from the root's at the next look
        edge(view)


def _replay(view: Tensor):
    """The function that makes `view` again from its root."""
    steps = []
    t = view
    while t is not view._root:
        parent, function, args = t._view
        steps.append((function, args))
        t = parent
    steps.reverse()

    def replay(base: Tensor) -> Tensor:
        for function, args in steps:
            base = function(base, *args)
        return base

    return replay


class CopySlices(Node):
    """History of a tensor of which one view has been changed by `node` (whose first input was that view)."""

    def __init__(self, root: Tensor, view: Tensor, node: Node):
        self.node, self.replay = node, _replay(view)
        self.edges = (edge(root), *node.edges[1:])
        self.metas = ((root._data.shape, root._data.dtype, root.device),)

    def backward(self, grads: tuple) -> tuple:
        g = grads[0].clone()
        part = self.replay(g)
        results = self.node.backward((part.clone(),))
        inner = results[0]
        meta = (part._data.shape, part._data.dtype, part.device)
        part.copy_(zeros(meta) if inner is None else fit(inner, meta))
        return (g, *results[1:])

    def release(self):
        self.node.release()


def inplace(function):
    """The in-place form of an operation whose first argument is the tensor to be changed."""

    @functools.wraps(function)
    def method(self, *args, **kwargs):
        check_inplace(self)
        return assign(self, function(self, *args, **kwargs))

    method.__name__ = function.__name__ + "_"
    return method


def write(out: Tensor | None, value: Tensor) -> Tensor:
    """The meaning of `out=`: `value` itself without one, else `out` resized to hold it and filled."""
    if out is None:
        return value
    if mode.grad and (out._rg or value._rg):
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.")
    if not dtypes.can_cast(value.dtype, out.dtype):
        raise RuntimeError(
            f"result type {dtypes.SCALAR_NAMES[value.dtype]} can't be cast to the desired output type {dtypes.SCALAR_NAMES[out.dtype]}"
        )
    with no_grad(), scope(out.device):
        if out._data.shape != value._data.shape:
            out._data = value._data.astype(out._data.dtype)
        else:
            out._data[...] = value._data
    counter(out)[0] += 1
    return out
