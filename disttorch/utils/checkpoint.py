"""Gradient checkpointing: a part of the forward is computed again in backward instead of being kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016). A reentrant checkpoint is one node of the graph,
which runs a backward of its own; any other leaves the graph as it is, and what its nodes saved is computed again.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from .. import random
from ..amp.autocast import state as autocasting
from ..autograd.function import Function
from ..autograd.gradients import backward as run_backward
from ..autograd.mode import enable_grad, mode
from ..autograd.saving import saved_tensors_hooks
from ..autograd.sweep import is_whole
from ..autograd.variable import Tensor
from ..devices import device
from ..ops import empty
from ._pytree import tree_leaves

__all__ = [
    "CheckpointError",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "get_device_states",
    "noop_context_fn",
    "set_device_states",
]


class CheckpointError(RuntimeError):
    """A block saved something else when it was computed again."""


class _Checkpoint(Function):
    @staticmethod
    def forward(ctx, function, preserve, kwargs, *args):
        ctx.function, ctx.kwargs = function, kwargs
        ctx.state, ctx.dtypes = _numbers(args, kwargs) if preserve else None, autocasting.dtypes
        ctx.args = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return function(*args, **kwargs)

    @staticmethod
    def backward(ctx, *grads):
        if not is_whole():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        args = list(ctx.args)
        for i, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[i] = t.detach().requires_grad_(t.requires_grad)
        with _numbers_from(ctx.state), _casting_as(ctx.dtypes), enable_grad():
            outputs = ctx.function(*args, **ctx.kwargs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([o for o, _ in pairs], [g for _, g in pairs], create_graph=mode.grad)
        return (None, None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """(the indices of the CUDA devices on which tensors in `args` lie, the states of their generators)."""
    tensors = [t for t in tree_leaves(args) if isinstance(t, Tensor)]
    devices = list(dict.fromkeys(t.device.index for t in tensors if t.device.type == "cuda"))
    return devices, [random.default(device("cuda", i)).get_state() for i in devices]


def set_device_states(devices: Iterable[int], states: Iterable[Tensor], *, device_type: str | None = None) -> None:
    """Put the generators of CUDA devices into states from `get_device_states`."""
    for i, state in zip(devices, states, strict=False):
        random.default(device(device_type or "cuda", i)).set_state(state)


def _numbers(*args: Any) -> tuple:
    """Where the generators stand from which a function of `args` draws: the CPU's and those of its tensors' devices."""
    return random.get_rng_state(), *get_device_states(*args)


@contextlib.contextmanager
def _numbers_from(state: tuple | None):
    """Random numbers as they were drawn in the forward, and afterwards as if none had been drawn."""
    if state is None:
        yield
        return
    of_cpu, devices, of_devices = state
    with random.fork_rng(devices):
        random.set_rng_state(of_cpu)
        set_device_states(devices, of_devices)
        yield


@contextlib.contextmanager
def _casting_as(dtypes: dict):
    """Autocast as it was in the forward."""
    now, autocasting.dtypes = autocasting.dtypes, dtypes
    try:
        yield
    finally:
        autocasting.dtypes = now


class _Inputs(Function):
    """Saves a block's tensors as any node does, so that a block around it may compute them again too."""

    @staticmethod
    def forward(ctx, anchor, *tensors):
        ctx.save_for_backward(*tensors)
        return empty(0)

    @staticmethod
    def backward(ctx, g):
        raise AssertionError("nothing is computed from this output")


class _Enough(Exception):
    """All that a block saved has been computed again."""


class _Block:
    """What the nodes of one checkpointed call saved: by number, to be computed again when the first is read."""

    def __init__(
        self, function: Callable, args: tuple, numbers: tuple | None, context: Any, checked: bool, early_stop: bool
    ):
        self._function, self._context, self._checked, self._early_stop = function, context, checked, early_stop
        self._state, self._dtypes = numbers, autocasting.dtypes
        self._args = [None if isinstance(a, Tensor) else a for a in args]
        self._places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        self._inputs = _Inputs.apply(empty(0, requires_grad=True), *[args[i] for i in self._places]).grad_fn
        self._saved: list[tuple] = []  # what was saved looked like
        self._again: dict[int, Tensor] = {}

    def pack(self, t: Tensor) -> int:
        self._saved.append((t.shape, t.dtype, t.device))
        return len(self._saved) - 1

    def unpack(self, number: int) -> Tensor:
        if number not in self._again:
            self._again.clear()
            self._compute()
        return self._again.pop(number)

    def _compute(self) -> None:
        args = list(self._args)
        for i, t in zip(self._places, self._inputs.saved_tensors, strict=True):
            args[i] = t
        as_before = (_numbers_from(self._state), _casting_as(self._dtypes), enable_grad(), self._context)
        with contextlib.suppress(_Enough), contextlib.ExitStack() as stack:  # after the last tensor nothing is wanted
            for manager in (*as_before, saved_tensors_hooks(self._keep, lambda t: t)):
                stack.enter_context(manager)
            self._function(*args)
        if len(self._again) != len(self._saved):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self._saved)}\n"
                f"Number of tensors saved during recomputation: {len(self._again)}."
            )

    def _keep(self, t: Tensor) -> Tensor:
        number, kept = len(self._again), t.detach()
        before = self._saved[number] if number < len(self._saved) else None
        if self._checked and before and (now := (t.shape, t.dtype, t.device)) != before:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                f"during the forward pass.\ntensor at position {number}:\nsaved metadata: {before}\n"
                f"recomputed metadata: {now}"
            )
        self._again[number] = kept
        if self._early_stop and len(self._again) == len(self._saved):
            raise _Enough
        return kept


def detach_variable(inputs: tuple) -> tuple:
    """The tensors in a tuple as leaves that require gradients where they did, all else as it is; RuntimeError for what
    is no tuple.
    """
    if not isinstance(inputs, tuple):
        name = type(inputs).__name__
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {name}")
    return tuple(t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t for t in inputs)


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no tensor among `inputs` requires a gradient."""
    if not any(t.requires_grad for t in inputs if isinstance(t, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def noop_context_fn() -> tuple:
    """Two context managers that do nothing: `context_fn`, unless a program gives another."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), computed again in backward; only its inputs are kept meanwhile.

    use_reentrant: compute its gradients in a backward of its own, one level deep, as older programs want; at least one
    input tensor, or a parameter that the function uses, must then require a gradient, and `autograd.grad` does not go
    through it. preserve_rng_state: dropout and the like draw the same numbers again, on the CPU and on the devices of
    the arguments. context_fn: gives two context managers, for the forward and for the time it is computed again.
    determinism_check: "default", or "none" to let the shapes and dtypes differ then. early_stop: go no further than is
    needed then. debug is without effect. Raises ValueError for options that do not go together; in backward,
    CheckpointError if the function saves something else than the first time.
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    if use_reentrant:
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            # Only parameters inside need gradients: an input that requires one gives the function its place.
            wrapped = lambda _, *rest, **options: function(*rest, **options)  # noqa: E731
            return _Checkpoint.apply(wrapped, preserve_rng_state, kwargs, empty(0, requires_grad=True), *args)
        return _Checkpoint.apply(function, preserve_rng_state, kwargs, *args)
    forward, again = context_fn()
    if not mode.grad:
        with forward:
            return function(*args, **kwargs)
    named = lambda *given: function(*given, **kwargs)  # noqa: E731
    numbers = _numbers(args, kwargs) if preserve_rng_state else None
    block = _Block(named, args, numbers, again, determinism_check == "default", early_stop)
    with forward, saved_tensors_hooks(block.pack, block.unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A Sequential (or list of modules) in `segments` parts, each of them but the last checkpointed."""
    layers = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(layers) // segments

    def part(start: int, end: int) -> Callable:
        def run(value: Any) -> Any:
            for layer in layers[start:end]:
                value = layer(value)
            return value

        return run

    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(part(start, end), input, use_reentrant=use_reentrant, **kwargs)
    return part(end, len(layers))(input)
