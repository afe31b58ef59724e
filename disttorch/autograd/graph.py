"""torch.autograd.graph: places in the graph, and hooks on several tensors together."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .node import Node, RemovableHandle
from .saving import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from .sweep import queue_callback
from .variable import Tensor, accumulator_of, counter, edge

__all__ = [
    "GradientEdge", "Node", "disable_saved_tensors_hooks", "get_gradient_edge", "increment_version",
    "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip


class GradientEdge(NamedTuple):
    """Where a tensor's gradient goes: output `output_nr` of `node`."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of `tensor` goes; RuntimeError if it requires none."""
    e = edge(tensor)
    if e is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(accumulator_of(e[0]), 0) if isinstance(e[0], Tensor) else GradientEdge(*e)


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Let autograd know that tensors have been changed by other means."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        counter(t)[0] += 1


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all") -> Any:
    """Call `fn` once in each backward: mode "all", fn([gradients]) at its end (None for tensors that took no part);
    "any", fn(gradient) with the first of them.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    seen: list = [None] * len(tensors)
    state = {"running": False, "called": False}

    def end() -> None:
        """The sweep is over: tensors that got no gradient have no part in it."""
        if mode == "all":
            fn(list(seen))
        seen[:] = [None] * len(tensors)
        state.update(running=False, called=False)

    def hook_of(k: int) -> Callable:
        def hook(g: Tensor) -> None:
            with lock:
                if not state["running"]:
                    state["running"] = True
                    queue_callback(end)
                seen[k] = g
                first, state["called"] = not state["called"], True
            if mode == "any" and first:
                fn(g)

        return hook

    return _Handles([t.register_hook(hook_of(k)) for k, t in enumerate(tensors)])


class _Handles(RemovableHandle):
    """Several handles as one."""

    def __init__(self, handles: list):
        super().__init__()
        self._handles = handles

    def remove(self):
        for h in self._handles:
            h.remove()
