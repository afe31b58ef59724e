"""Op: an operation whose forward works on arrays and whose gradients are formulas on tensors.

    sin = Op("SinBackward0", lambda x: np.sin(x), x=lambda g, x: g * cos(x))
    exp = Op("ExpBackward0", lambda x: np.exp(x), x=lambda g, out: g * out)

A gradient's parameters name what it needs: `g` (the output's gradient), `out` (the output), any parameter of the
forward, or `<parameter>_shape`. Just that is saved, and only for inputs that require a gradient. Gradients are tensor
operations, so they can be differentiated again. A gradient that comes out broadcast or in another dtype is brought to
its input's shape and dtype by the sweep.
"""

import inspect
from operator import itemgetter

import numpy as np

from ..devices import device, scope
from .mode import mode
from .node import FREED, FREED_TEXT, Node, SavedOutput, save, unpack
from .variable import Tensor, edge, mark_view, wrap


class Op:
    """An operation; call it with positional arguments, tensors where the forward wants arrays.

    name      its node's name, PyTorch's
    forward   arrays and settings -> an array, or a tuple of arrays (`outputs`, then `keeps`)
    outputs   the names under which gradients may ask for the outputs
    keeps     names of further arrays that the forward returns for the gradients alone
    joint     one function for all inputs: (g, needs, ...) -> a gradient per input; `inputs` names them. Where the
              forward ends
              in `*xs`, these are the inputs
    gradients input name -> formula
    With several outputs `g` is a tuple of tensors (zeros for outputs without a gradient).
    """

    def __init__(self, name, forward, *, outputs=("out",), keeps=(), joint=None, inputs=None, params=None, **gradients):
        self.forward, self.outputs, self.joint, self.gradients = forward, outputs, joint, gradients
        names = list(params or inspect.signature(forward).parameters)
        variadic = not params and any(
            p.kind is p.VAR_POSITIONAL for p in inspect.signature(forward).parameters.values()
        )
        self.variadic = names.index(names[-1]) if variadic else None
        self.params = names[:-1] if variadic else names
        self.single = len(outputs) == 1 and not keeps
        self.inputs = tuple(self.params.index(n) for n in (inputs or gradients)) if not variadic else ()
        self.sources = [*self.params, *outputs, *keeps]
        self.node_type = type(name, (OpNode,), {"op": self})
        self._plans: dict = {}

    def __call__(self, *args):
        where, arrays = None, []
        for a in args:
            if isinstance(a, Tensor):
                if where is None:
                    where = a.device
                elif a.device is not where:
                    raise_devices(where, a.device)
                arrays.append(a._data)
            else:
                arrays.append(a)
        if where.host:
            result = self.forward(*arrays)
        else:
            with scope(where):
                result = self.forward(*arrays)
        if self.single:
            out = wrap(np.asarray(result) if isinstance(result, np.generic) else result, where)
            if mode.grad:
                self.record((out,), args, ())
            return out
        count = len(self.outputs)
        outs = tuple(wrap(np.asarray(r) if isinstance(r, np.generic) else r, where) for r in result[:count])
        if mode.grad:
            self.record(outs, args, result[count:])
        return outs if count > 1 else outs[0]

    def record(self, outs: tuple, args: tuple, kept: tuple):
        """Give the outputs their node, if any input requires a gradient."""
        inputs = self.inputs if self.variadic is None else range(self.variadic, len(args))
        edges = tuple([edge(args[i]) if isinstance(args[i], Tensor) else None for i in inputs])
        if not any(edges):
            return
        node = self.node_type()
        node.edges = edges
        needs = tuple([e is not None for e in edges]) if self.variadic is None else None
        node.plan = plan = self._plans.get(needs) or self._plan(needs)
        node.metas = tuple([(o._data.shape, o._data.dtype, o.device) for o in outs])
        for nr, out in enumerate(outs):
            if out._data.dtype.kind in "fcV":
                out._rg, out._node, out._nr = True, node, nr
        if plan.keep:
            n = len(self.params)
            saved = []
            for k in plan.keep:
                if isinstance(k, str):  # a shape
                    saved.append(args[self.params.index(k)]._data.shape)
                elif k < n:
                    saved.append(save(args[k]) if isinstance(args[k], Tensor) else args[k])
                elif k < n + len(outs):
                    saved.append(SavedOutput(outs[k - n], k - n))
                elif k < len(self.sources):
                    saved.append(kept[k - n - len(outs)])
                else:  # *xs
                    saved.append(tuple(save(a) if isinstance(a, Tensor) else a for a in args[self.variadic :]))
            node.saved = tuple(saved)
        if mode.anomaly:
            from .anomaly import note

            note(node)

    def _plan(self, needs):
        plan = self._plans[needs] = _Plan(self, needs)
        return plan


class ViewOp(Op):
    """An operation whose result shares its first argument's memory (or is a copy, where the layout forces one)."""

    def __call__(self, x, *args):
        out = super().__call__(x, *args)
        if x.device.host and not np.may_share_memory(out._data, x._data) and out._data.size:
            return out
        return mark_view(out, x, self, args)


class _Plan:
    """For one set of inputs that require a gradient: what to keep, and which rule reads which of it."""

    def __init__(self, op: Op, needs: tuple | None):
        wanted: list[tuple] = []  # (position of the input or None, function, its sources)
        if op.joint is not None:
            wanted.append((None, op.joint, list(inspect.signature(op.joint).parameters)))
        else:
            for position, rule in enumerate(op.gradients.values()):
                if needs is not None and needs[position]:
                    wanted.append((position, rule, list(inspect.signature(rule).parameters)))
        keep: dict = {}
        self.rules = []
        for position, rule, names in wanted:
            picks = []
            for n in names[2 if position is None else 1 :]:
                k = self._source(op, n)
                picks.append(keep.setdefault(k, len(keep)))
            self.rules.append((position, rule, itemgetter(*picks) if len(picks) > 1 else None, picks))
        self.keep = tuple(keep)
        self.needs = needs

    @staticmethod
    def _source(op: Op, name: str):
        if name in op.sources:
            return op.sources.index(name)
        if name.endswith("_shape") and name[:-6] in op.params:
            return name[:-6]
        if name == "xs" and op.variadic is not None:
            return len(op.sources)
        raise TypeError(f"{op.node_type.__name__}: no such thing to save: {name}")


class OpNode(Node):
    op: Op
    plan: _Plan

    def backward(self, grads: tuple) -> tuple:
        saved = self.saved
        if saved is FREED:
            raise RuntimeError(FREED_TEXT)
        values = [
            unpack(v, self) if not isinstance(v, tuple) else tuple([unpack(x, self) for x in v]) for v in saved
        ]  # fmt: skip
        g = (
            grads[0]
            if len(self.metas) == 1
            else tuple([zeros(m) if x is None else x for x, m in zip(grads, self.metas, strict=True)])
        )
        (position, rule, pick, picks), *others = self.plan.rules
        if position is None:
            needs = self.plan.needs or tuple([e is not None for e in self.edges])
            return tuple(rule(g, needs, *[values[k] for k in picks]))
        result: list = [None] * len(self.edges)
        result[position] = rule(g, *(pick(values) if pick else values[picks[0] : picks[0] + 1] if picks else ()))
        for position, rule, pick, picks in others:
            result[position] = rule(g, *(pick(values) if pick else values[picks[0] : picks[0] + 1] if picks else ()))
        return tuple(result)


def zeros(meta: tuple) -> Tensor:
    """The gradient of an output that nobody used."""
    shape, np_type, where = meta
    if where.host:
        return wrap(np.zeros(shape, np_type), where)
    with scope(where):
        from ..devices import namespace

        return wrap(namespace(where).zeros(shape, np_type), where)


def raise_devices(a: device, b: device):
    raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {a} and {b}!")
