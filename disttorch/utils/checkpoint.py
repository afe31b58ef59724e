"""Gradient checkpointing: a part of the forward is computed again in backward instead of being kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016).
"""

import contextlib
from collections.abc import Callable
from typing import Any

from .. import random
from ..autograd.function import Function
from ..autograd.gradients import backward as run_backward
from ..autograd.mode import enable_grad, mode
from ..autograd.variable import Tensor


class _Checkpoint(Function):
    @staticmethod
    def forward(ctx, function, preserve, kwargs, *args):
        ctx.function, ctx.kwargs = function, kwargs
        ctx.state = random.get_rng_state() if preserve else None
        ctx.args = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return function(*args, **kwargs)

    @staticmethod
    def backward(ctx, *grads):
        args = list(ctx.args)
        for i, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[i] = t.detach().requires_grad_(t.requires_grad)
        with _numbers_from(ctx.state), enable_grad():
            outputs = ctx.function(*args, **ctx.kwargs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([o for o, _ in pairs], [g for _, g in pairs], create_graph=mode.grad)
        return (None, None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


@contextlib.contextmanager
def _numbers_from(state: Tensor | None):
    """Random numbers as they were drawn in the forward, and afterwards as if none had been drawn."""
    if state is None:
        yield
        return
    now = random.get_rng_state()
    random.set_rng_state(state)
    try:
        yield
    finally:
        random.set_rng_state(now)


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Any = None,
    determinism_check: str = "default",
    debug: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), computed again in backward; only its inputs are kept meanwhile.

    preserve_rng_state: dropout and the like draw the same numbers again. At least one input tensor, or a parameter that
    the function uses, must require a gradient.
    """
    if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
        from ..ops import empty

        # Only parameters inside need gradients: an input that requires one gives the function its place in the graph.
        wrapped = lambda _, *rest, **options: function(*rest, **options)  # noqa: E731
        return _Checkpoint.apply(wrapped, preserve_rng_state, kwargs, empty(0, requires_grad=True), *args)
    return _Checkpoint.apply(function, preserve_rng_state, kwargs, *args)


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
        input = checkpoint(part(start, end), input, **kwargs)
    return part(end, len(layers))(input)
