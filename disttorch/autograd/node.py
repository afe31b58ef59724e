"""Nodes of the graph: what was done (`name`), where gradients go next (`edges`), and what is needed to compute them."""

import itertools
from collections.abc import Sequence
from typing import Any

from .. import dtypes
from .variable import InferenceCounter, Tensor, accumulator_of, wrap

FREED = object()  # stands for saved values after backward
_hook_ids = itertools.count()


class RemovableHandle:
    """Returned when a hook is registered; `remove()` takes it away again. Also a context manager."""

    __module__ = "disttorch.utils.hooks"  # where PyTorch's stands

    def __init__(self, *tables: dict):
        self._tables, self.id = tables, next(_hook_ids)

    def remove(self):
        for table in self._tables:
            table.pop(self.id, None)

    def hooks_dict_ref(self) -> dict:
        """The hooks that this one is, or was, one of."""
        return self._tables[0]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def register(hooks: dict, hook, *also: dict) -> RemovableHandle:
    handle = RemovableHandle(hooks, *also)
    hooks[handle.id] = hook
    return handle


class Node:
    """One recorded operation. `backward(grads)` takes a gradient per output and gives one per edge."""

    edges: tuple = ()  # per input: (node, output number), (leaf, 0) or None
    metas: Any = ()  # per output: (shape, NumPy dtype, device)
    saved: Any = ()
    tireless = False  # True: it also runs if no gradient has reached it
    plain = True  # False: the sweep must ask for some of the following
    hooks: dict | None = None  # after it ran: hook(grad_inputs, grad_outputs)
    prehooks: dict | None = None  # before it runs: hook(grad_outputs)
    tensor_hooks: dict | None = None  # output number -> {id: hook(grad)}
    into: tuple | None = None  # arrays in which its gradients had best lie; None: that is not for it to choose
    absorbs: Any = None  # an operation whose gradient it can compute along with its own
    note: Any = None  # for who watches nodes being made (`mode.watching`) and run (`sweep.listen`)
    trace: str | None = None  # anomaly mode: where the operation stood

    def backward(self, grads: tuple) -> Sequence:
        raise NotImplementedError

    def release(self):
        """Drop what was saved."""
        if self.saved:
            self.saved = FREED

    def name(self) -> str:
        return type(self).__name__

    @property
    def metadata(self) -> dict:
        return self.__dict__.setdefault("_metadata", {})

    @property
    def next_functions(self) -> tuple:
        return tuple(
            (None, 0) if e is None else (accumulator_of(e[0]), 0) if isinstance(e[0], Tensor) else e for e in self.edges
        )

    def register_hook(self, hook):
        if self.hooks is None:
            self.hooks, self.plain = {}, False
        return register(self.hooks, hook)

    def register_prehook(self, hook):
        if self.prehooks is None:
            self.prehooks, self.plain = {}, False
        return register(self.prehooks, hook)

    def __call__(self, *grads):
        out = self.backward(grads)
        return out[0] if len(out) == 1 else out

    def __repr__(self):
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """Stands for a leaf where users walk the graph; the sweep itself goes straight to the leaf."""

    def __init__(self, leaf: Tensor):
        self.variable = leaf

    def register_hook(self, hook):
        """`hook(grad_inputs, grad_outputs)` after the leaf's gradient has been accumulated."""
        leaf = self.variable
        if leaf._accumulate_hooks is None:
            leaf._accumulate_hooks = {}
        return register(leaf._accumulate_hooks, lambda t: hook((), (t._grad,)))

    def register_prehook(self, hook):
        leaf = self.variable
        if leaf._hooks is None:
            leaf._hooks = {}
        return register(leaf._hooks, lambda g: (hook((g,)) or (g,))[0])


class Saved:
    """What a node keeps instead of a tensor."""

    __slots__ = ()

    def unpack(self, node: "Node") -> Any:
        """The tensor (or tensors) as it was; RuntimeError (PyTorch's text) if it has been modified in place since."""
        raise NotImplementedError


class SavedOutput(Saved):
    """An output kept by its own node: the array alone, lest tensor and node hold each other alive."""

    __slots__ = ("counter", "data", "device", "nr", "version")

    def __init__(self, t: Tensor, nr: int = 0):
        self.data, self.device, self.nr = t._data, t.device, nr
        if t._counter is None:
            t._counter = [0]
        self.counter = t._counter
        self.version = t._counter[0]

    def unpack(self, node: Node) -> Tensor:
        if self.counter[0] != self.version:
            raise_modified(self.data, self.device, node, self.counter[0], self.version, self.nr)
        t = wrap(self.data, self.device)
        t._node, t._nr, t._rg = node, self.nr, True
        return t


class SavedInput(Saved):
    """An input that had been modified before it was saved, with the version that it then had."""

    __slots__ = ("tensor", "version")

    def __init__(self, t: Tensor):
        self.tensor, self.version = t, t._counter[0]

    def unpack(self, node: Node) -> Tensor:
        t = self.tensor
        now = t._counter[0]
        if now != self.version:
            raise_modified(t._data, t.device, t._node, now, self.version, t._nr)
        return t


class SavedInputs(Saved):
    """Any number of inputs."""

    __slots__ = ("values",)

    def __init__(self, values: tuple):
        self.values = [save(v) if isinstance(v, Tensor) else v for v in values]

    def unpack(self, node: Node) -> tuple:
        return tuple([unpack(v, node) for v in self.values])


def save(t: Tensor):
    """What a node keeps of an input: the tensor itself while its version is 0, so that saving costs nothing."""
    if type(t._counter) is InferenceCounter:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
            "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use "
            "it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
        )
    return t if t._counter is None or t._counter[0] == 0 else SavedInput(t)


def unpack(value, node: Node):
    """A saved value as it was; RuntimeError (PyTorch's text) if it has been modified in place since."""
    if isinstance(value, Tensor):
        if value._counter is not None and value._counter[0]:
            raise_modified(value._data, value.device, value._node, value._counter[0], 0, value._nr)
        return value
    return value.unpack(node) if isinstance(value, Saved) else value


def short_name(node: Node) -> str:
    """A node's name as error texts have it: Exp for ExpBackward0."""
    return node.name().replace("Backward", "").removesuffix("0")


def raise_modified(data, where, producer, now: int, expected: int, nr: int):
    kind = "torch.cuda." if where.type == "cuda" else "torch."
    source = "" if producer is None else f", which is output {nr} of {short_name(producer)},"
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{kind}{dtypes.FROM_NUMPY[data.dtype].type_name} {list(data.shape)}]{source} is at version {now}; expected "
        "version "
        f"{expected} instead. Hint: enable anomaly detection to find the operation that failed to compute its "
        "gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )


FREED_TEXT = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
    "been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True "
    "if you need to backward through the graph a second time or if you need to access saved tensors after calling "
    "backward."
)
