"""The backward sweep: nodes in an order in which each runs once, after all that use its outputs. Iterative.

First the graph below the roots is counted (how many gradients each node and leaf will receive), then nodes run as soon
as their last gradient is there. The order depends on the graph alone, so the same program gives the same bits.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .. import dtypes
from ..devices import scope
from .mode import mode
from .node import Node
from .variable import Tensor, alias, counter, housed, wrap


class _Running(threading.local):
    callbacks: list | None = None  # to be called when this thread's sweep ends
    whole = True  # no sweep of this thread goes to certain edges alone


_running = _Running()


class Listener(Protocol):
    """Hears one sweep."""

    def runs(self, node: Node) -> None:
        """This node is about to run."""

    def rests(self) -> None:
        """No more will; what was queued with `queue_callback` is still to come."""

    def ends(self) -> None:
        """The sweep is over."""


_listener: Callable[[], Listener] | None = None


def listen(listener: Callable[[], Listener] | None) -> None:
    """From now on `listener()` is called as a sweep begins, for who hears it. None: nobody listens any more."""
    global _listener
    _listener = listener


def queue_callback(callback) -> None:
    """Call `callback()` when the sweep that runs in this thread has finished."""
    if _running.callbacks is None:
        raise RuntimeError("Final callbacks can only be installed during backward pass.")
    _running.callbacks.append(callback)


def is_whole() -> bool:
    """Whether the sweeps that run in this thread, if any, go to all leaves: False within `grad`."""
    return _running.whole


def sweep(roots: list, grads: list, *, retain: bool, create: bool, targets: list | None = None) -> list:
    """Send `grads` into the edges `roots` and down the graph.

    Without `targets` the gradients of leaves are accumulated into `.grad`; with them (edges), their gradients are
    returned (None where the roots do not depend on one) and nothing is accumulated; without, the list is empty.
    """
    heard = None if _listener is None else _listener()
    outer, _running.callbacks = _running.callbacks, []
    whole, _running.whole = _running.whole, _running.whole and targets is None
    before, mode.grad = mode.grad, create
    try:
        running = _Sweep(roots, retain, create, targets)
        for e, g in zip(roots, grads, strict=True):
            if running.useful is None or e[0] in running.useful:
                running.gather(e, g)
        del grads, g, e
        try:
            running.work(None if heard is None else heard.runs)
        finally:
            if heard is not None:
                heard.rests()
        for callback in _running.callbacks:
            callback()
    finally:
        mode.grad = before
        _running.callbacks, _running.whole = outer, whole
        if heard is not None:
            heard.ends()
    return [] if targets is None else [running.caught.get(e) for e in targets]


def _visit(roots: list) -> tuple[dict, set]:
    """What will receive more than one gradient, and how many; and all nodes and leaves below the roots."""
    several: dict = {}
    seen = set()
    stack: list = [roots]
    while stack:
        for e in stack.pop():
            if e is not None:
                below = e[0]
                if below in seen:
                    several[below] = several.get(below, 1) + 1
                else:
                    seen.add(below)
                    if not isinstance(below, Tensor):
                        stack.append(below.edges)
    return several, seen


def _leading_to(seen: set, targets: set) -> set:
    """The nodes below which a target lies (the targets themselves too)."""
    useful: set = set()
    done = set()
    for start in seen:
        stack = [start]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            below = [] if isinstance(node, Tensor) else [e[0] for e in node.edges if e is not None]
            waiting = [b for b in below if b not in done]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            done.add(node)
            if node in targets or not useful.isdisjoint(below):
                useful.add(node)
    return useful


class _Sweep:
    """One sweep: who still waits for gradients, and what to do with those that arrive."""

    def __init__(self, roots: list, retain: bool, create: bool, targets: list | None):
        self.retain, self.create, self.anomaly = retain, create, mode.anomaly
        self.counts, seen = _visit(roots)  # node or leaf that gets several gradients -> how many are still to come
        self.inbox: dict = {}  # the same -> those received so far, per output
        self.ready: list[tuple[Node, tuple]] = []  # a node and its gradients, the next one last
        self.caught: dict = {}  # with targets: edge -> its gradient
        self.wanted = self.useful = None  # with targets: these; the nodes that lie above one
        if targets is not None:
            self.wanted = {e for e in targets if e is not None}
            self.useful = _leading_to(seen, {e[0] for e in self.wanted})

    def work(self, tell: Callable[[Node], None] | None) -> None:
        """Run the nodes and hand their gradients on, until none is left. tell: called with each before it runs."""
        ready, counts, useful, retain = self.ready, self.counts, self.useful, self.retain
        watched = self.anomaly or self.wanted is not None or len(housed) > 0
        got: tuple | None
        results: Any
        while ready:
            node, got = ready.pop()
            edges = node.edges
            if tell is not None:
                tell(node)
            if watched or not node.plain or got[0] is None:
                edges, results = self._run(node, got)
            else:
                results = node.backward(got)
                if type(results) is not list:
                    results = list(results)
                if not retain:
                    node.release()
            got = None
            results.reverse()  # to be taken from the end, so that a leaf may keep a gradient that nobody else holds
            for e in edges:
                g = results.pop()
                if e is None or (useful is not None and e[0] not in useful):
                    continue
                target, nr = e
                leaf = isinstance(target, Tensor)
                metas = ((target._data.shape, target._data.dtype, target.device),) if leaf else target.metas
                if g is not None and (g._data.shape, g._data.dtype, g.device) != metas[nr]:
                    g = fit(g, metas[nr])
                if len(metas) > 1 or target in counts:
                    self.gather(e, g)
                elif leaf:
                    box = [g]
                    g = None
                    self._arrive(target, box)
                else:
                    ready.append((target, (g,)))
                g = None

    def gather(self, e: tuple, g: Tensor | None) -> None:
        """Add a gradient to those that its receiver has; with the last one expected it is the receiver's turn."""
        target, nr = e
        leaf = isinstance(target, Tensor)
        box = self.inbox.pop(target, None) or [None] * (1 if leaf else len(target.metas))
        if g is not None:
            box[nr] = g if box[nr] is None else add_gradients(box[nr], g)
        missing = self.counts.get(target, 1) - 1
        if missing:
            self.counts[target], self.inbox[target] = missing, box
        elif leaf:
            del g
            self._arrive(target, box)
        else:
            self.ready.append((target, tuple(box)))

    def _run(self, node: Node, got: tuple) -> tuple[tuple, list]:
        """A node's edges and their gradients, where somebody watches or the node has wishes."""
        edges, useful = node.edges, self.useful
        if node.tensor_hooks is not None:
            changed = list(got)
            for nr, hooks in node.tensor_hooks.items():
                if changed[nr] is not None:
                    changed[nr] = call_hooks(hooks, changed[nr])
            got = tuple(changed)
        if self.wanted is not None:
            self.caught |= {(node, nr): g for nr, g in enumerate(got) if (node, nr) in self.wanted}
        live = node.tireless or any(g is not None for g in got)
        if live and useful is not None:
            live = any(e is not None and e[0] in useful for e in edges)
        if not live:
            return edges, [None] * len(edges)
        if node.into is not None:
            node.into = self._homes(edges)
        if node.absorbs is not None:
            edges = self._past_absorbed(node)
        watched = self.anomaly or node.hooks is not None or node.prehooks is not None
        results = list(_watched(node, got) if watched else node.backward(got))
        if node.into:
            node.into = ()  # a later sweep over a graph that is kept has homes of its own, or none
        if not self.retain:
            node.release()
        return edges, results

    def _past_absorbed(self, node: Any) -> tuple:
        """Where the node's gradient goes: past the node below if it can be absorbed and nobody watches that one."""
        below = node.edges[0][0]
        node.absorbed = (
            type(below) is node.absorbs.node_type
            and below not in self.counts
            and below.tensor_hooks is below.hooks is below.prehooks is None
            and self.wanted is None
            and not (self.create or self.anomaly)
        )
        if not node.absorbed:
            return node.edges
        below.check()
        if not self.retain:
            below.release()
        return below.edges

    def _homes(self, edges: tuple) -> tuple:
        """For each edge to a leaf whose only gradient this will be: the memory that waits for it, if there is some."""
        if self.wanted is not None:  # gradients that are to be returned must not lie where those of leaves do
            return ()
        homes, found = [], False
        for e in edges:
            home = None
            if e is not None:
                leaf = e[0]
                awaited = isinstance(leaf, Tensor) and leaf._grad_home is not None and leaf._grad is None
                if awaited and leaf not in self.counts:
                    home, found = leaf._grad_home._data, True
            homes.append(home)
        return tuple(homes) if found else ()

    def _arrive(self, leaf: Tensor, got: list) -> None:
        """A leaf has all its gradients: run its hooks, then hand the sum out or accumulate it."""
        g = got.pop()
        if g is None:
            return
        if leaf._hooks:
            g = call_hooks(leaf._hooks, g)
        if self.wanted is not None:
            if (leaf, 0) in self.wanted:
                self.caught[leaf, 0] = g
            return
        _accumulate(leaf, g, self.create)


def add_gradients(a: Tensor, b: Tensor) -> Tensor:
    return a + b


def _watched(node: Node, grads: tuple) -> Sequence:
    """What one node computes, with its hooks and checks."""
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
            if not isinstance(changed, Tensor):
                raise TypeError(f"expected Variable, but hook returned '{type(changed).__name__}'")
            if changed._data.shape != g._data.shape:
                raise RuntimeError(f"hook '{getattr(hook, '__name__', hook)}' has changed the size of value")
            g = changed
    return g


def _accumulate(leaf: Tensor, g: Tensor, create: bool) -> None:
    """Add `g` to the leaf's gradient; the first one is kept as it is where nobody else holds it."""
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
    """The reference counts that this interpreter reports where `_arrive` and `_accumulate` hold the only references."""

    def arrive(got: list) -> tuple[int, int]:
        g = got.pop()
        return accumulate(g)

    def accumulate(g: Tensor) -> tuple[int, int]:
        data = g._data
        return count(data), sys.getrefcount(g)

    def count(data) -> int:
        return sys.getrefcount(data)

    return arrive([wrap(np.zeros(2))])


_ARRAY_REFS, _TENSOR_REFS = _calibrate()
