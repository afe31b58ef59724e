"""Function: operations that users define by a forward and a backward."""

import functools
import weakref
from typing import Any

from .mode import mode, no_grad
from .node import FREED, FREED_TEXT, Node, SavedOutput, save, unpack
from .op import zeros
from .variable import Tensor, alias, counter, edge


class FunctionCtx:
    """What `forward` and `backward` share: programs may set any attribute on it."""

    _to_save: tuple = ()
    _dirty: tuple = ()
    _non_differentiable: tuple = ()
    _node: Any = None  # a weak reference: the node holds its ctx
    _saved: Any = ()
    _for_forward: tuple = ()
    _pushing = False  # inside `jvp`
    materialize_grads = True
    needs_input_grad: tuple = ()

    def save_for_backward(self, *tensors):
        """Keep inputs or outputs for `backward` (None is allowed); call at most once."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__}"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors):
        """Keep tensors for `jvp`, where `saved_tensors` gives them."""
        self._for_forward = tensors

    def mark_dirty(self, *tensors):
        """Name the inputs that `forward` changes in place; call it in `forward`, and return them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors):
        """Name the outputs through which no gradient flows."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool):
        """Whether `backward` gets zeros (True) or None for outputs without a gradient."""
        self.materialize_grads = bool(value)

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` kept. RuntimeError if it was modified in place or freed since."""
        if self._pushing and self._for_forward:
            return self._for_forward
        if self._saved is FREED:
            raise RuntimeError(FREED_TEXT)
        node = self._node() if self._node is not None else None
        return self._to_save if node is None else tuple([unpack(v, node) for v in self._saved])

    saved_variables = saved_tensors


class FunctionNode(Node):
    """The node of a custom Function; reads of other attributes are answered by its ctx."""

    function: Any  # the subclass of Function
    ctx: FunctionCtx
    tireless = True  # what a Function's backward does besides counts too

    def __getattr__(self, name: str):
        if name == "ctx":
            raise AttributeError(name)
        return getattr(self.ctx, name)

    def release(self):
        if self.ctx._saved:
            self.ctx._saved = FREED

    def push(self, tangents: list) -> Any:
        """The tangents of the outputs, by the Function's `jvp`."""
        self.ctx._pushing = True
        try:
            return self.function.jvp(self.ctx, *tangents)
        finally:
            self.ctx._pushing = False

    def backward(self, grads: tuple) -> tuple:
        if self.ctx.materialize_grads:
            metas = self.metas  # None: an output that is no tensor, whose gradient is None
            grads = tuple([zeros(m) if g is None and m else g for g, m in zip(grads, metas, strict=True)])
        name = self.function.__name__ + "Backward"
        results = self.function.backward(self.ctx, *grads)
        if not isinstance(results, tuple):
            results = (results,)
        count = len(self.edges)
        if len(results) > count and all(r is None for r in results[count:]):
            results = results[:count]
        if len(results) != count:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {count}, got {len(results)})"
            )
        for i, (r, shape) in enumerate(zip(results, self.shapes, strict=True)):
            if r is not None and not isinstance(r, Tensor):
                raise TypeError(
                    f"function {name} returned an invalid gradient at index {i} - expected a Tensor or "
                    f"None, got {type(r).__name__}"
                )
            if r is not None and shape is not None and r._data.shape != shape and not _sums_to(r._data.shape, shape):
                raise RuntimeError(
                    f"Function {name} returned an invalid gradient at index {i} - got {list(r._data.shape)} but "
                    f"expected shape compatible with {list(shape)}"
                )
        return results


def _sums_to(have: tuple, shape: tuple) -> bool:
    """Whether a gradient can be summed over what was broadcast."""
    extra = len(have) - len(shape)
    return extra >= 0 and all(s in (1, h) for s, h in zip(shape, have[extra:], strict=True))


class Function:
    """Base of custom operations: `forward(ctx, *args)` and `backward(ctx, *grads)`, called through `apply`.

    With `setup_context(ctx, inputs, output)` defined, `forward` takes no ctx. `backward` gives one gradient (or None)
    per argument of `forward`; `jvp(ctx, *tangents)`, which is optional, the tangents of the outputs for
    `autograd.forward_ad`.
    """

    _backward_cls: type  # of the nodes of a subclass

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._backward_cls = type(cls.__name__ + "Backward", (FunctionNode,), {"function": cls})

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented for custom autograd.Function.")

    @staticmethod
    def backward(ctx, *grads):
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    @staticmethod
    def jvp(ctx, *grad_inputs):
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    def __call__(self, *args, **kwargs):
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        ctx = FunctionCtx()
        edges = tuple([edge(a) if isinstance(a, Tensor) else None for a in args])
        recording = mode.grad and any(e is not None for e in edges)
        ctx.needs_input_grad = tuple([e is not None for e in edges])
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                results = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, results)
            else:
                results = cls.forward(ctx, *args, **kwargs)
        outs = results if isinstance(results, tuple) else (results,)
        for t in ctx._dirty:
            if recording and t.requires_grad and t.is_leaf:
                raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
            counter(t)[0] += 1
        if recording:
            node = cls._backward_cls()
            node.shapes = tuple([a._data.shape if isinstance(a, Tensor) else None for a in args])
            outs = _attach(node, ctx, edges, args, outs)
        return outs if isinstance(results, tuple) else outs[0]


def _attach(node: FunctionNode, ctx: FunctionCtx, edges: tuple, args: tuple, outs: tuple) -> tuple:
    """Give the outputs their place in the graph: an input returned as it is becomes an alias, one changed in place
    moves.
    """
    node.edges, node.ctx, ctx._node = edges, ctx, weakref.ref(node)
    attached = []
    for out in outs:
        if isinstance(out, Tensor) and not any(out is d for d in ctx._dirty) and any(out is a for a in args):
            out = alias(out)
        attached.append(out)
    node.metas = tuple([(o._data.shape, o._data.dtype, o.device) if isinstance(o, Tensor) else None for o in attached])
    fixed = {id(t) for t in ctx._non_differentiable}
    numbers = {}
    for nr, out in enumerate(attached):
        if not isinstance(out, Tensor):
            continue
        numbers[id(out)] = nr
        if id(out) not in fixed and out._data.dtype.kind in "fcV":
            out._rg, out._node, out._nr, out._view = True, node, nr, None
    ctx._saved = tuple(
        [
            SavedOutput(t, numbers[id(t)])
            if isinstance(t, Tensor) and t._node is node
            else save(t)
            if isinstance(t, Tensor)
            else t
            for t in ctx._to_save
        ]
    )
    if mode.hooks:
        from .saving import packed

        ctx._saved = tuple([packed(v, node) for v in ctx._saved])
    ctx._to_save = ctx._non_differentiable = ctx._dirty = ()
    return tuple(attached)


def once_differentiable(backward):
    """Mark a `backward` whose result cannot be differentiated again."""

    @functools.wraps(backward)
    def wrapped(ctx, *grads):
        with no_grad():
            results = backward(ctx, *grads)
        if not mode.grad or not any(isinstance(g, Tensor) and g.requires_grad for g in grads):
            return results
        several = results if isinstance(results, tuple) else (results,)
        sealed = tuple([_Sealed.apply(r, *grads) if isinstance(r, Tensor) else r for r in several])
        return sealed if isinstance(results, tuple) else sealed[0]

    return wrapped


class _Sealed(Function):
    @staticmethod
    def forward(ctx, result, *grads):
        return result.detach()

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
