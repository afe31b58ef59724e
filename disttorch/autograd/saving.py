"""Hooks that pack what nodes save for the backward, and unpack it there (torch.autograd.graph.saved_tensors_hooks)."""

from collections.abc import Callable
from typing import Any

from .. import dtypes
from .mode import mode, no_grad, watch
from .node import Node, Saved, SavedInput, SavedInputs
from .op import KEPT, OpNode
from .variable import Tensor, edge, version, wrap


class saved_tensors_hooks:
    """Inside, `pack_hook(tensor)` gives what a node keeps instead of a tensor that it saves, and
    `unpack_hook(packed)` gives the tensor back where the backward reads it. Of nested pairs the innermost counts.

    RuntimeError if `pack_hook` changes its tensor in place; TypeError if `unpack_hook` returns no tensor.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if mode.hooks_refused is not None:
            raise RuntimeError(mode.hooks_refused)
        watch(hooks=(*mode.hooks, (self.pack_hook, self.unpack_hook)))

    def __exit__(self, *exc) -> None:
        watch(hooks=mode.hooks[:-1])


class save_on_cpu(saved_tensors_hooks):
    """Inside, nodes keep what they save in the CPU's memory and bring it back to its device in the backward."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        def pack(x):
            kept = x.detach().cpu()
            return x.device, kept.pin_memory() if pin_memory and x.device.type == device_type else kept

        def unpack(packed):
            device, kept = packed
            return kept.to(device, non_blocking=pin_memory)

        super().__init__(pack, unpack)


class disable_saved_tensors_hooks:
    """Inside, entering `saved_tensors_hooks` is a RuntimeError with this message; so is coming from inside them."""

    def __init__(self, error_message: str):
        self._message = error_message

    def __enter__(self) -> None:
        if mode.hooks:
            raise RuntimeError(self._message)
        self._before, mode.hooks_refused = mode.hooks_refused, self._message

    def __exit__(self, *exc) -> None:
        mode.hooks_refused = self._before


class Packed(Saved):
    """What the pack hook made of a tensor, and the tensor's place in the graph."""

    __slots__ = ("content", "edge", "unpack_hook")

    def __init__(self, t: Tensor):
        pack_hook, self.unpack_hook = mode.hooks[-1]
        self.edge, before = edge(t), version(t)
        with no_grad():
            self.content = pack_hook(t)
        if version(t) != before:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook "
                "cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open "
                "an issue if you need to perform in-place operations on the input to a pack hook."
            )

    def unpack(self, node: Node) -> Any:
        with no_grad():
            found = self.unpack_hook(self.content)
        if not isinstance(found, Tensor):
            raise TypeError(
                f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(found).__name__}"
            )
        return found if self.edge is None and found._node is None and not found._rg else _placed(found, self.edge)


class PackedArray(Packed):
    """A further array that the forward returned for the gradients alone."""

    __slots__ = ()

    def unpack(self, node: Node) -> Any:
        return super().unpack(node)._data


class PackedInputs(Saved):
    """Any number of inputs, each packed."""

    __slots__ = ("values",)

    def __init__(self, values: list, node: Node):
        self.values = [packed(v, node) for v in values]

    def unpack(self, node: Node) -> tuple:
        return tuple([v.unpack(node) if isinstance(v, Saved) else v for v in self.values])


class Passed(Node):
    """Hands on the gradient of a tensor that was unpacked to the leaf that was packed."""

    def backward(self, grads: tuple) -> tuple:
        return grads


def _placed(found: Tensor, place: tuple | None) -> Tensor:
    """The values of `found` at a place in the graph."""
    t = wrap(found._data, found.device)
    if place is None:
        return t
    target, nr = place
    if isinstance(target, Tensor):
        if found is target:
            return target
        node = Passed()
        node.edges, node.metas = (place,), ((t._data.shape, t._data.dtype, t.device),)
        target, nr = node, 0
    t._rg, t._node, t._nr = True, target, nr
    return t


def packed(value: Any, node: Node) -> Any:
    """A saved value as the hooks in force pack it; what is no tensor stays as it is."""
    if isinstance(value, Tensor):
        return Packed(value)
    if isinstance(value, SavedInput):
        return Packed(value.tensor)
    if isinstance(value, SavedInputs):
        return PackedInputs(value.values, node)
    if isinstance(value, Saved):
        return Packed(value.unpack(node))
    return value


def pack(node: OpNode) -> None:
    """Let the hooks in force pack what an operation's node has saved."""
    where = node.metas[0][2]
    node.saved = [
        PackedArray(wrap(v, where))
        if what is KEPT and getattr(v, "dtype", None) in dtypes.FROM_NUMPY
        else packed(v, node)
        for (what, _), v in zip(node.plan.keep, node.saved, strict=True)
    ]
