"""Op: an operation whose forward works on arrays and whose gradients are formulas on tensors.

    sin = Op("SinBackward0", lambda x: np.sin(x), x=lambda g, x: g * cos(x))
    exp = Op("ExpBackward0", lambda x: np.exp(x), x=lambda g, out: g * out)

A gradient's parameters name what it needs: `g` (the output's gradient), `out` (the output), any parameter of the
forward, or `<parameter>_shape`. Just that is saved, and only for inputs that require a gradient. Gradients are tensor
operations, so they can be differentiated again. A gradient that comes out broadcast or in another dtype is brought to
its input's shape and dtype by the sweep.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import itemgetter

import numpy as np

from .. import meta
from ..devices import META, device, scope
from .mode import mode, watching
from .node import FREED, FREED_TEXT, Node, Saved, SavedInputs, SavedOutput, save, unpack
from .variable import Tensor, edge, mark_view, wrap

# What a gradient may ask for: an input (or setting), an output, a further array, an input's shape, or `*xs`.
INPUT, OUTPUT, KEPT, SHAPE, INPUTS = "input", "output", "kept", "shape", "inputs"
_VARIADIC = 0x04  # of code.co_flags: the function takes *args


class Op:
    """An operation; call it with positional arguments, tensors where the forward wants arrays.

    name      its node's name, PyTorch's
    forward   arrays and settings -> an array, or a tuple of arrays (`outputs`, then `keeps`)
    outputs   the names under which gradients may ask for the outputs
    keeps     names of further arrays that the forward returns for the gradients alone
    joint     one function for all inputs: (g, needs, ...) -> a gradient per input; `inputs` names them. Where the
              forward ends in `*xs`, these are the inputs. A last parameter `into` is given, per input, the array in
              which its gradient had best lie, or None; () where there is none for any
    gradients input name -> formula
    absorbs   (an operation, the formula past it), for an operation of one input: where that input is a result of the
              former and nothing else is made of it, one formula serves for both. It gives the former's input's
              gradient; its parameters are named as those of `gradients`
    With several outputs `g` is a tuple of tensors (zeros for outputs without a gradient).
    """

    def __init__(
        self, name, forward, *, outputs=("out",), keeps=(), joint=None, inputs=None, params=None, absorbs=None,
        **gradients,
    ):  # fmt: skip
        self.name, self.forward, self.outputs = name, forward, outputs
        self.joint, self.gradients, self.absorbs = joint, gradients, absorbs
        names, variadic = (list(params), False) if params else _parameters(forward)
        self.variadic = names.index(names[-1]) if variadic else None
        self.params = names[:-1] if variadic else names
        self.single = len(outputs) == 1 and not keeps
        self.inputs = [self.params.index(n) for n in (inputs or gradients)] if not variadic else []
        self.takes_all = not variadic and self.inputs == [*range(len(self.params))]  # gradients for all arguments
        self.sources = [*self.params, *outputs, *keeps]
        self._plans: dict = {}

    @cached_property
    def inputs_of(self) -> Callable:
        """Takes the inputs that gradients may be asked for from its arguments."""
        return taking(self.inputs) if self.variadic is None else itemgetter(slice(self.variadic, None))

    @cached_property
    def node_type(self) -> "type[OpNode]":
        """The class of its nodes: made for the first of them, since most operations of the library never have one."""
        chooses = self.joint is not None and "into" in _parameters(self.joint)[0]
        absorbs = None if self.absorbs is None else self.absorbs[0]
        fields = {"op": self, "into": () if chooses else None, "absorbs": absorbs}
        return type(self.name, (OpNode,), fields | {"plain": absorbs is None})

    def __call__(self, *args):
        where, arrays, wanted = None, [], False
        for a in args:
            if isinstance(a, Tensor):
                if a.device is not where:
                    if where is not None:
                        raise_devices(where, a.device)
                    where = a.device
                if a._rg or a._view is not None:
                    wanted = True
                a = a._data
            arrays.append(a)
        result = self.forward(*arrays) if where.host else self.elsewhere(where, arrays)
        if self.single:
            out = wrap(np.asarray(result) if isinstance(result, np.generic) else result, where)
            if wanted and mode.grad:
                self.record((out,), args, ())
            return out
        count = len(self.outputs)
        outs = tuple([wrap(np.asarray(r) if isinstance(r, np.generic) else r, where) for r in result[:count]])
        if wanted and mode.grad:
            self.record(outs, args, result[count:])
        return outs if count > 1 else outs[0]

    def of_one(self, x, *args):
        """self(x, *args) where there is one result and `x` is the only tensor: nothing has to be looked for."""
        where = x.device
        result = self.forward(x._data, *args) if where.host else self.elsewhere(where, [x._data, *args])
        out = wrap(np.asarray(result) if isinstance(result, np.generic) else result, where)
        if mode.grad and (x._rg or x._view is not None):
            self.record((out,), (x, *args), ())
        return out

    def elsewhere(self, where: device, arrays: list):
        """The forward on a device that is not the host."""
        if where is META:
            return self.on_meta(arrays)
        with scope(where):
            return self.forward(*arrays)

    def on_meta(self, arrays: list):
        """The forward on the meta device: shapes and dtypes alone."""
        name = f"aten::{self.name.partition('Backward')[0].lower()}"
        return meta.run(name, self.forward, arrays)

    def record(self, outs: tuple, args: tuple, kept: tuple):
        """Give the outputs their node, if any input requires a gradient."""
        edges: list = []
        needs, bit = 0, 1  # a bit for each input that requires a gradient
        for a in args if self.takes_all else self.inputs_of(args):
            e = None
            if isinstance(a, Tensor):
                if a._view is not None:
                    e = edge(a)
                elif a._node is not None:
                    e = a._node, a._nr
                elif a._rg:
                    e = a, 0
                if e is not None:
                    needs += bit
            edges.append(e)
            bit += bit
        if not needs:
            return
        node = self.node_type()
        node.edges = tuple(edges)
        needs += bit
        node.plan = plan = self._plans.get(needs) or self._plan(needs)
        metas: list = []
        for out in outs:
            data = out._data
            np_type = data.dtype
            if np_type.kind in "fcV":
                out._rg, out._node, out._nr = True, node, len(metas)
            metas.append((data.shape, np_type, out.device))
        node.metas = metas
        node.saved = saved = []
        if plan.keep:
            if plan.args is not None:
                for a in plan.args(args):
                    if isinstance(a, Tensor) and a._counter is not None:
                        a = save(a)
                    saved.append(a)
            for what, k in plan.others:
                if what is OUTPUT:
                    saved.append(SavedOutput(outs[k], k))
                elif what is KEPT:
                    saved.append(kept[k])
                elif what is SHAPE:
                    saved.append(args[k]._data.shape)
                else:
                    saved.append(SavedInputs(args[k:]))
        for told in watching.made:
            told(node)

    def _plan(self, needs: int) -> "_Plan":
        plan = self._plans[needs] = _Plan(self, needs)
        return plan


def _parameters(function) -> tuple[list, bool]:
    """The names of a function's parameters, and whether the last takes any number; a tenth of inspect.signature's
    time, of which importing the operations would be full.
    """
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = function.__code__
    names, last = code.co_varnames, code.co_argcount + code.co_kwonlyargcount
    variadic = bool(code.co_flags & _VARIADIC)
    return [*names[: code.co_argcount], *names[last : last + variadic]], variadic


class ViewOp(Op):
    """An operation whose result shares its first argument's memory (or is a copy, where the layout forces one)."""

    several = False  # whether it is one of several views that a function gives, which may not be changed in place

    def on_meta(self, arrays: list):
        return meta.run("", self.forward, arrays, cheap=True)

    def __call__(self, x, *args):
        if not self.single:
            return self._marked(super().__call__(x, *args), x, args)
        out = self.view(x, *args)
        if mode.grad and (x._rg or x._view is not None):
            self.record((out,), (x, *args), ())
        return out

    def view(self, x, *args):
        """The result, in no graph; for operations that keep nothing."""
        data, where = x._data, x.device
        made = self.forward(data, *args) if where.host else self.elsewhere(where, [data, *args])
        return self._marked(wrap(made, where), x, args)

    def back(self, g, *args):
        """self(g, *args) in a gradient's formula; while nothing is recorded, nobody will have to make it again."""
        if mode.grad or not g.device.host:
            return self(g, *args)
        return wrap(self.forward(g._data, *args), g.device)

    def _marked(self, out, x, args):
        made, data = out._data, x._data
        owner = made.base
        seen = owner is not None and (owner is data or owner is data.base)
        if not seen and x.device.host and made.size and not np.may_share_memory(made, data):
            return out
        return mark_view(out, x, self, args)


def taking(positions: Sequence[int]) -> Callable:
    """A function that gives the elements of a sequence at these positions, as a sequence."""
    first, count = (positions[0], len(positions)) if positions else (0, 0)
    if list(positions) == list(range(first, first + count)):
        return itemgetter(slice(first, first + count))
    return itemgetter(*positions) if count > 1 else lambda values: [values[k] for k in positions]


class _Plan:
    """For one set of inputs that require a gradient: what to keep, and which rule reads which of it.

    needs: the inputs that do, a bit each from the lowest on, and a last one for the end.
    """

    __slots__ = ("args", "holds", "joint", "keep", "needs", "others", "past", "rules")

    def __init__(self, op: Op, needs: int):
        self.joint = op.joint is not None
        self.needs = tuple([digit == "1" for digit in reversed(f"{needs:b}"[1:])])
        wanted: list[tuple] = []  # (position of the input or None, function, its sources)
        if op.joint is not None:
            wanted.append((None, op.joint, [n for n in _parameters(op.joint)[0][2:] if n != "into"]))
        else:
            for position, rule in enumerate(op.gradients.values()):
                if self.needs[position]:
                    wanted.append((position, rule, _parameters(rule)[0][1:]))
        if op.absorbs is not None:
            wanted.append((0, op.absorbs[1], _parameters(op.absorbs[1])[0][1:]))
        named = {n: self._source(op, n) for _, _, names in wanted for n in names}
        # (what, its index among those): arguments first, which are taken together
        keep = sorted(dict.fromkeys(named.values()), key=lambda source: source[0] is not INPUT)
        positions = [k for what, k in keep if what is INPUT]
        self.keep, self.others = tuple(keep), tuple(keep[len(positions) :])
        self.args = taking(positions) if positions else None
        # whether more than shapes and numbers is kept; None: that is up to the arguments
        self.holds = any(what is not SHAPE for what, _ in self.others) or (None if positions else False)
        # (position, rule, what gives it those of the kept values that it reads)
        rules = []  # None: reads nothing
        for position, rule, names in wanted:
            rules.append((position, rule, taking([keep.index(named[n]) for n in names]) if names else None))
        own = len(rules) if op.absorbs is None else -1
        self.rules, self.past = rules[:own], rules[own:]  # past: the rule that also serves for the absorbed operation

    @staticmethod
    def _source(op: Op, name: str) -> tuple:
        if name in op.sources:
            k, inputs, outputs = op.sources.index(name), len(op.params), len(op.outputs)
            if k < inputs:
                return INPUT, k
            return (OUTPUT, k - inputs) if k < inputs + outputs else (KEPT, k - inputs - outputs)
        if name.endswith("_shape") and name[:-6] in op.params:
            return SHAPE, op.params.index(name[:-6])
        if name == "xs" and op.variadic is not None:
            return INPUTS, op.variadic
        raise TypeError(f"{op.name}: no such thing to save: {name}")


_HELD = (Tensor, Saved, np.ndarray)


class OpNode(Node):
    __slots__ = ("edges", "metas", "note", "plan", "saved")  # note: unset while nobody notes anything
    op: Op
    plan: _Plan
    absorbed = False  # whether this sweep goes past the node below, of that operation

    def release(self) -> None:
        """Drop what was saved. Where that is shapes and numbers alone it stays, and backward can pass again."""
        saved = self.saved
        if saved:
            holds = True if type(saved[0]) is Tensor else self.plan.holds
            if holds or (holds is None and any([isinstance(v, _HELD) for v in saved])):
                self.saved = FREED

    def check(self) -> None:
        """RuntimeError where its gradients cannot be computed any more: it was freed, or what it saved has changed."""
        if self.saved is FREED:
            raise RuntimeError(FREED_TEXT)
        for v in self.saved:
            unpack(v, self)

    def backward(self, grads: tuple) -> Sequence:
        saved, plan = self.saved, self.plan
        if saved is FREED:
            raise RuntimeError(FREED_TEXT)
        values = []
        for v in saved:
            if isinstance(v, Tensor):
                if v._counter is not None and v._counter[0]:
                    unpack(v, self)  # it has been modified: raises
            elif isinstance(v, Saved):
                v = v.unpack(self)
            values.append(v)
        if len(self.metas) == 1:
            g = grads[0]
        else:
            g = tuple([zeros(m) if x is None else x for x, m in zip(grads, self.metas, strict=True)])
        if plan.joint:
            _, rule, reads = plan.rules[0]
            read = () if reads is None else reads(values)
            return rule(g, plan.needs, *read) if self.into is None else rule(g, plan.needs, *read, self.into)
        result: list = [None] * len(self.edges)
        for position, rule, reads in plan.past if plan.past and self.absorbed else plan.rules:
            result[position] = rule(g) if reads is None else rule(g, *reads(values))
        return result


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
