"""The backward sweep: nodes in an order in which each runs once, after all that use its outputs. Iterative.

First the graph below the roots is counted (how many gradients each node and leaf will receive), then nodes run as soon
as their last gradient is there. The order depends on the graph alone, so the same program gives the same bits.
"""

import sys
import threading
from collections.abc import Sequence

import numpy as np

from .. import dtypes
from ..devices import scope
from .mode import mode
from .node import Node
from .variable import Tensor, alias, counter, wrap


class _Running(threading.local):
    callbacks: list | None = None  # to be called when this thread's sweep ends


_running = _Running()


def queue_callback(callback) -> None:
    """Call `callback()` when the sweep that runs in this thread has finished."""
    if _running.callbacks is None:
        raise RuntimeError("Final callbacks can only be installed during backward pass.")
    _running.callbacks.append(callback)


def sweep(roots: list, grads: list, *, retain: bool, create: bool, targets: list | None = None) -> list:
    """Send `grads` into the edges `roots` and down the graph.

    Without `targets` the gradients of leaves are accumulated into `.grad`; with them (edges), their gradients are
    returned (None where the roots do not depend on one) and nothing is accumulated; without, the list is empty.
    """
    wanted = None if targets is None else {(id(e[0]), e[1]): k for k, e in enumerate(targets) if e is not None}
    counts = _count(roots)
    useful = None if targets is None else _leading_to(counts, {id(e[0]) for e in targets if e is not None})
    caught: list = [None] * (0 if targets is None else len(targets))
    inbox: dict = {}  # node or leaf -> gradients received so far, per output
    ready: list = []
    outer, _running.callbacks = _running.callbacks, []
    before, mode.grad = mode.grad, create
    try:
        for e, g in zip(roots, grads, strict=True):
            if useful is None or id(e[0]) in useful:
                _deliver(e, g, inbox, counts, ready)
        del grads, g, e
        while ready:
            target = ready.pop()
            got = inbox.pop(target)
            if isinstance(target, Tensor):
                _arrive(target, got, wanted, caught, create)
            else:
                _run(target, got, wanted, caught, useful, inbox, counts, ready, retain)
            del got
        for callback in _running.callbacks:
            callback()
    finally:
        mode.grad = before
        _running.callbacks = outer
    return caught


def _count(roots: list) -> dict:
    """How many gradients each node and leaf below the roots will receive."""
    counts: dict = {}
    stack = []
    for node, _ in roots:
        if node in counts:
            counts[node] += 1
        else:
            counts[node] = 1
            stack.append(node)
    while stack:
        node = stack.pop()
        if isinstance(node, Tensor):
            continue
        for e in node.edges:
            if e is not None:
                below = e[0]
                if below in counts:
                    counts[below] += 1
                else:
                    counts[below] = 1
                    stack.append(below)
    return counts


def _leading_to(counts: dict, targets: set) -> set:
    """The ids of nodes below which a target lies (the targets themselves too)."""
    useful, done = set(), set()
    for start in counts:
        stack = [start]
        while stack:
            node = stack[-1]
            if id(node) in done:
                stack.pop()
                continue
            below = [] if isinstance(node, Tensor) else [e[0] for e in node.edges if e is not None]
            waiting = [b for b in below if id(b) not in done]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            done.add(id(node))
            if id(node) in targets or any(id(b) in useful for b in below):
                useful.add(id(node))
    return useful


def _deliver(e: tuple, g: Tensor | None, inbox: dict, counts: dict, ready: list):
    """Add a gradient to its receiver's inbox; the last one expected makes the receiver ready."""
    target, nr = e
    box = inbox.get(target)
    if box is None:
        box = inbox[target] = [None] * (1 if isinstance(target, Tensor) else len(target.metas))
    if g is not None:
        box[nr] = g if box[nr] is None else add_gradients(box[nr], g)
    counts[target] -= 1
    if counts[target] == 0:
        ready.append(target)


def add_gradients(a: Tensor, b: Tensor) -> Tensor:
    return a + b


def _run(node: Node, got: list, wanted, caught, useful, inbox, counts, ready, retain: bool):
    if node.tensor_hooks is not None:
        for nr, hooks in node.tensor_hooks.items():
            if got[nr] is not None:
                got[nr] = call_hooks(hooks, got[nr])
    if wanted is not None:
        for nr in range(len(got)):
            k = wanted.get((id(node), nr))
            if k is not None:
                caught[k] = got[nr]
    edges = node.edges
    live = got[0] is not None or any(g is not None for g in got)
    if live and useful is not None:
        live = any(e is not None and id(e[0]) in useful for e in edges)
    if live:
        if node.into is not None:  # gradients that are to be returned must not lie where those of leaves do
            node.into = _homes(edges, counts) if wanted is None else ()
        results = list(_compute(node, tuple(got)))
        if not retain:
            node.release()
        results.reverse()  # to be taken from the end, so that a leaf may keep a gradient that nobody else holds
    else:
        results = [None] * len(edges)
    got.clear()
    for e in edges:
        g = results.pop()
        if e is None or (useful is not None and id(e[0]) not in useful):
            continue
        target, nr = e
        if g is not None:
            if isinstance(target, Tensor):
                like = target._data
                shape, np_type, where = like.shape, like.dtype, target.device
            else:
                shape, np_type, where = target.metas[nr]
            data = g._data
            if data.shape != shape or data.dtype is not np_type or g.device is not where:
                g = fit(g, (shape, np_type, where))
            data = None
        _deliver(e, g, inbox, counts, ready)
        g = None


def _homes(edges: tuple, counts: dict) -> tuple:
    """For each edge to a leaf whose only gradient this will be: the memory that waits for it, if there is some."""
    homes = tuple(
        [
            e[0]._grad_home._data
            if e is not None
            and isinstance(e[0], Tensor)
            and e[0]._grad_home is not None
            and e[0]._grad is None
            and counts[e[0]] == 1
            else None
            for e in edges
        ]
    )
    return homes if any(h is not None for h in homes) else ()


def _compute(node: Node, grads: tuple) -> Sequence:
    """Run one node with its hooks and checks."""
    if node.prehooks is not None:
        for hook in list(node.prehooks.values()):
            changed = hook(grads)
            if changed is not None:
                grads = changed if isinstance(changed, tuple) else (changed,)
    if mode.anomaly:
        from .anomaly import guarded

        results = guarded(node, grads)
    else:
        results = node.backward(grads)
    if node.hooks is not None:
        results = tuple(results)
        for hook in list(node.hooks.values()):
            changed = hook(results, grads)
            if changed is not None:
                results = changed if isinstance(changed, tuple) else (changed,)
    return results


def fit(g: Tensor, meta: tuple) -> Tensor:
    """`g` summed to the shape and cast to the dtype of what it is the gradient of."""
    shape, np_type, where = meta
    data = g._data
    if data.shape != shape:
        g = sum_to(g, shape)
    if data.dtype != np_type:
        if np_type.kind != "c" and data.dtype.kind == "c":
            g = g.real
        g = g.to(dtypes.FROM_NUMPY[np_type])
    if g.device is not where:
        g = g.to(where)
    return g


def sum_to(g: Tensor, shape: tuple) -> Tensor:
    """Undo broadcasting: sum over the dimensions that `shape` lacks or has as 1."""
    have = g._data.shape
    extra = len(have) - len(shape)
    if extra < 0 or any(s != h and s != 1 for s, h in zip(shape, have[extra:], strict=True)):
        raise RuntimeError(
            f"Function returned an invalid gradient - got {list(have)} but expected shape compatible with {list(shape)}"
        )
    dims = [*range(extra), *[extra + i for i, s in enumerate(shape) if s == 1 and have[extra + i] != 1]]
    if dims:
        g = g.sum(dims, keepdim=True)
    return g.reshape(shape) if extra else g


def call_hooks(hooks: dict, g: Tensor) -> Tensor:
    for hook in list(hooks.values()):
        changed = hook(g)
        if changed is not None:
            g = changed
    return g


def _arrive(leaf: Tensor, got: list, wanted, caught, create: bool):
    """A leaf has all its gradients: run its hooks, then hand the sum out or accumulate it."""
    g = got.pop()
    if g is None:
        return
    if leaf._hooks:
        g = call_hooks(leaf._hooks, g)
    if wanted is not None:
        k = wanted.get((id(leaf), 0))
        if k is not None:
            caught[k] = g
        return
    data = g._data
    held = leaf._grad
    if create:
        leaf._grad = g if held is None else held + g
    elif held is not None:
        if held._node is not None or held._rg:
            leaf._grad = held + g
        else:
            with scope(leaf.device):
                np.add(held._data, data, out=held._data)
            counter(held)[0] += 1
    elif leaf._grad_home is not None:
        home = leaf._grad_home
        with scope(leaf.device):
            if data is not home._data:
                home._data[...] = data
        leaf._grad = alias(home)
    else:
        if not _sole(data) or not _owns_memory(data) or sys.getrefcount(g) > _TENSOR_REFS or g._rg:
            with scope(leaf.device):
                data = data.copy(order="K") if _dense(data) else data.copy()
            g = wrap(data, leaf.device)
        leaf._grad = g
    if leaf._accumulate_hooks:
        for hook in list(leaf._accumulate_hooks.values()):
            hook(leaf)


def _dense(data) -> bool:
    """Whether no two elements share memory (a broadcast array's do)."""
    return 0 not in data.strides or data.size == 0


def _sole(data) -> bool:
    return sys.getrefcount(data) <= _ARRAY_REFS


def _owns_memory(data) -> bool:
    """Whether it is no view, or all of an array that nobody else sees."""
    base = data.base
    if base is None:
        return True
    return isinstance(base, np.ndarray) and base.base is None and base.size == data.size and _sole(base)


def _calibrate() -> tuple[int, int]:
    """The reference counts that this interpreter reports where `_arrive` holds the only references."""

    def arrive(got: list) -> tuple[int, int]:
        g = got.pop()
        data = g._data
        return count(data), sys.getrefcount(g)

    def count(data) -> int:
        return sys.getrefcount(data)

    return arrive([wrap(np.zeros(2))])


_ARRAY_REFS, _TENSOR_REFS = _calibrate()
