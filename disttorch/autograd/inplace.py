"""In-place operations: the value is computed as by the out-of-place operation, then takes the tensor's place.

For a view, the root's history changes too: `CopySlices` sends into the operation only that part of the root's gradient
that the view covers, and the view's own history is remade from the root's when next asked for.
"""

import sys
import warnings

import numpy as np

from .. import dtypes
from ..devices import META, scope
from .mode import mode, no_grad
from .node import Node, SavedOutput, short_name
from .variable import Tensor, counter, edge, wrap


def check_inplace(t: Tensor) -> None:
    """RuntimeError (PyTorch's text) where autograd could not follow a change of `t`, or its elements share memory."""
    if t._root is not None:
        check_written(t)
    check_history(t)


def check_history(t: Tensor) -> None:
    """RuntimeError (PyTorch's text) where autograd could not follow a change of `t`."""
    if not mode.grad:
        return
    if t._node is None and t._rg:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if t._view is not None:
        _check_view(t, t._root)


def _check_view(t: Tensor, root: Tensor) -> None:
    """The part of `check_history` for views."""
    if getattr(t._view[1], "several", False) and edge(t) is not None:
        raise RuntimeError(
            f"Output {t._nr} of {short_name(t._node)} is a view and is being modified inplace. This view is the output "
            "of a function that returns multiple views. Such functions do not allow the output views to be modified "
            "inplace. You should replace the inplace operation by an out-of-place one."
        )
    if not root._rg:
        return
    if t._node is None and t._root_node is root._node:
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this "
            "use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view "
            "and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or "
            "both outside (if you want the inplace to be tracked)."
        )
    if root._node is None:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def is_expanded(t: Tensor) -> bool:
    """Whether elements of `t` share memory with one another, as those of an expanded tensor do."""
    data = t._data
    if 0 not in data.strides or not data.size:
        return False
    return any(step == 0 and n > 1 for step, n in zip(data.strides, data.shape, strict=True))


def check_written(t: Tensor) -> None:
    """RuntimeError (PyTorch's text) if `t` is expanded."""
    if is_expanded(t):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def check_apart(out: Tensor | None, *inputs: Tensor, numel: int = 0) -> None:
    """RuntimeError (PyTorch's text) if `out=` shares memory with what is read while it is written.

    numel: how many elements `out` will have; where it has fewer, those behind it in its memory count too.
    """
    if out is not None and any(t is out or _overlap(out._data, numel, t._data) for t in inputs):
        raise RuntimeError(_SHARED)


_SHARED = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
    "location. Please clone() the tensor before performing the operation."
)


def check_partly_apart(written: Tensor | None, *inputs) -> None:
    """RuntimeError (PyTorch's text) if one of `inputs` that is a tensor shares memory with `written`, but is not just
    the same view: then results would depend on the order in which elements are written.

    As in PyTorch only tensors whose elements lie side by side, with no holes, are looked at.
    """
    if written is None:
        return
    memory = _owner(written)
    for t in inputs:
        if isinstance(t, Tensor) and t is not written and _owner(t) is memory and _partial(written._data, t._data):
            raise RuntimeError(_SHARED)


def _owner(t: Tensor) -> Tensor:
    return t if t._root is None else t._root


def _partial(a, b) -> bool:
    if not (isinstance(a, np.ndarray) and _dense(a) and _dense(b)):
        return False
    start, other = a.ctypes.data, b.ctypes.data
    if start == other and a.nbytes == b.nbytes:
        return _steps(a) != _steps(b)
    return start < other + b.nbytes and other < start + a.nbytes


def _steps(a) -> list:
    return [(n, step) for n, step in zip(a.shape, a.strides, strict=True) if n > 1]


def _dense(a) -> bool:
    expected = a.itemsize
    for n, step in sorted(_steps(a), key=lambda pair: pair[1]):
        if step != expected:
            return False
        expected *= n
    return a.size > 0


def _overlap(data, numel: int, other) -> bool:
    if data.size and other.size and not (_dense(data) and _dense(other)):
        return False
    if np.may_share_memory(data, other):
        return True
    if not isinstance(data, np.ndarray) or data.size >= numel:
        return False
    start, (low, high) = data.ctypes.data, np.lib.array_utils.byte_bounds(other)
    return low < start + numel * data.itemsize and start < high


def apply_inplace(
    function, t: Tensor, args: tuple = (), kwargs: dict | None = None, check=check_partly_apart
) -> Tensor:
    """`t` becomes `function(t, *args, **kwargs)` in place, if check(t, *tensors) lets it. Returns `t`."""
    check_inplace(t)
    kwargs = kwargs or {}
    if check is not None:
        check(t, *[a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)])
    if not mode.grad or not (
        t.requires_grad or any(isinstance(a, Tensor) and a.requires_grad for a in (*args, *kwargs.values()))
    ):
        return assign(t, function(t, *args, **kwargs))
    given_up = t._root is None and _unseen(t)
    return assign(t, function(as_it_was(t, given_up), *args, **kwargs), given_up)


def as_it_was(t: Tensor, given_up: bool = False) -> Tensor:
    """A tensor at the same place of the graph with the same elements, which nodes may save though `t` changes."""
    before = wrap(t._data if given_up or t.device is META else t._data.copy(order="K"), t.device)
    e = edge(t)
    if e is not None:
        before._rg, (before._node, before._nr) = True, e
    return before


def assign(t: Tensor, out: Tensor, given_up: bool = False) -> Tensor:
    """Let `t` become `out` in place: value, version and history. Returns `t`. `given_up`: its array belongs to others
    now.
    """
    check_inplace(t)
    data, new = t._data, out._data
    if new.shape != data.shape:
        raise RuntimeError(f"output with shape {list(data.shape)} doesn't match the broadcast shape {list(new.shape)}")
    if new.dtype != data.dtype:
        have, want = out.dtype, t.dtype
        if not dtypes.can_cast(have, want):
            raise RuntimeError(
                f"result type {dtypes.SCALAR_NAMES[have]} can't be cast to the desired output type "
                f"{dtypes.SCALAR_NAMES[want]}"
            )
    del data
    replace_memory(t, out, given_up)
    counter(t)[0] += 1
    if mode.grad and (out._rg or t._rg or t._view is not None):
        if out._node is not None and t.dtype is out.dtype:
            _adopt_saved(out._node, t, new)
        if t._view is None:
            if out._node is not None:
                t._rg, t._node, t._nr = True, out._node, out._nr
            else:
                t._rg, t._node, t._nr = False, None, 0
        elif out._node is not None or t._root._rg:
            _rebase(t, out)
    return t


def _adopt_saved(node: Node, t: Tensor, data) -> None:
    """What `node` saved of its output is now `t`: a later change of `t` must be noticed."""
    for v in node.saved:
        if isinstance(v, SavedOutput) and v.data is data:
            v.data, v.counter = t._data, counter(t)
            v.version = v.counter[0]


def replace_memory(t: Tensor, out: Tensor, given_up: bool = False) -> None:
    """Put the elements of `out` where those of `t` are; nothing is copied if nobody else can see the memory of `t`."""
    if t.device is META:
        return
    own = out._data.dtype == t._data.dtype and out._root is None and out._data.base is None
    if own and (given_up or (t._root is None and _unseen(t))):
        t._data = out._data
        return
    with scope(t.device):
        if given_up:
            t._data = out._data.astype(t._data.dtype)
        else:
            t._data[...] = out._data


def _unseen(t: Tensor) -> bool:
    return sys.getrefcount(t._data) <= _UNSEEN and t._data.base is None


def _calibrate() -> int:
    t = wrap(np.zeros(2))
    return (lambda t: sys.getrefcount(t._data))(t)


_UNSEEN = _calibrate()


def _rebase(view: Tensor, out: Tensor) -> None:
    """`view` has become `out`: give its root a history in which just that part comes from `out`."""
    root = view._root
    copied = CopySlices(root, view, out)
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
    """History of a tensor of which one view has become `out`: that part of its gradient goes to `out`, the rest to
    before.
    """

    def __init__(self, root: Tensor, view: Tensor, out: Tensor):
        self.replay = _replay(view)
        self.order = sorted(range(root._data.ndim), key=lambda d: -root._data.strides[d])
        self.edges = (edge(root), edge(out))
        self.metas = ((root._data.shape, root._data.dtype, root.device),)

    def backward(self, grads: tuple) -> tuple:
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        g = (
            grads[0].permute(self.order).clone(memory_format="torch.contiguous_format").permute(inverse)
        )  # laid out as the root
        part = self.replay(g)
        to_out = part.clone() if self.edges[1] is not None else None
        part.zero_()
        return (g, to_out)


def write(out: Tensor | None, value: Tensor, *inputs, warned: bool = True) -> Tensor:
    """The meaning of `out=`: `value` itself without one, else `out` resized to hold it and filled; unless
    `warned` is False, a warning says so where it had elements.

    inputs: what an operation that goes element by element has read, which must not be partly in the memory of `out`.
    """
    if out is None:
        return value
    check_partly_apart(out, *inputs)
    if mode.grad and (out._rg or value._rg):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of the arguments "
            "requires grad."
        )
    check_written(out)
    if not dtypes.can_cast(value.dtype, out.dtype):
        raise RuntimeError(
            f"result type {dtypes.SCALAR_NAMES[value.dtype]} can't be cast to the desired output type "
            f"{dtypes.SCALAR_NAMES[out.dtype]}"
        )
    with no_grad(), scope(out.device):
        if out._data.shape != value._data.shape:
            out._data = _resized(out._data, value._data, warned)
        out._data[...] = value._data
    counter(out)[0] += 1
    return out


def _resized(old, value, warned):
    """An array in the shape of `value`, in the memory of `old` where that holds it: others who have it see what is
    written.
    """
    if old.size and warned:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(old.shape)}, which does not "
            f"match the required output shape {list(value.shape)}. This behavior is deprecated, and in a future "
            "PyTorch release outputs will not be resized unless they have zero elements. You can explicitly reuse an "
            "out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
            stacklevel=4,
        )
    if value.size <= old.size and old.flags.c_contiguous:
        return old.reshape(-1)[: value.size].reshape(value.shape)
    return value.astype(old.dtype)
