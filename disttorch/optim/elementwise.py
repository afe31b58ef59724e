"""Optimizers whose rule treats every element alike: many small parameters are stepped as one array.

NumPy and CuPy take about a microsecond to begin an operation, whatever its size, and a network has many small
parameters. So those of a group are packed: their state lies in one flat array, of which the tensors in
`optimizer.state` are views, and a step gathers parameters and gradients, applies the rule once, and puts the parameters
back. A large parameter is stepped where it lies, in blocks that stay in the cache from one operation of the rule to the
next.
"""

from collections import defaultdict

import numpy as np

from .. import dtypes
from ..autograd.mode import no_grad
from ..autograd.variable import Tensor, counter, wrap
from ..devices import namespace, scope
from ..kernels.hushing import hushed
from ..kernels.portable.precision import converted
from ..kernels.threads import get_num_threads, share
from . import differentiable
from .optimizer import Optimizer, evaluate, number

BLOCK = 1 << 16  # elements: the arrays of 256 KB that a rule reads and makes fit the second-level cache
MANY = 12  # blocks: below, waking another thread costs more than it saves
WAYS = {"foreach": None, "maximize": False, "differentiable": False}  # what older checkpoints lack
SMALL = 1 << 13  # elements: below, an operation's start costs more than gathering and putting back


class Elementwise(Optimizer):
    """A subclass gives `slots`, the state of a parameter, and `rule`, its formula."""

    counted = True  # whether the state has a "step"
    block = BLOCK
    threads_inside = False  # whether the rule's operations on float32 share their work among threads themselves

    def slots(self, group: dict) -> dict:
        """The names of a parameter's state arrays, and what they are first filled with."""
        return {}

    def scalars(self, group: dict) -> dict:
        """The names of a parameter's further numbers, and their first values."""
        return {}

    def rule(self, group: dict, step: int, scalars: dict, fresh: bool):
        """update(p, g, *slots), which changes p and the slots in place; all are arrays of one real dtype and one shape.

        step: 1 at the first; scalars: may be changed; fresh: the slots have just been made.
        """
        raise NotImplementedError

    def prepare(self, p: Tensor, group: dict) -> bool:
        """Make what is missing in the state of `p`; True if slots were."""
        return _initialise(self, p, self.state[p], group, self.slots(group))

    @no_grad()
    def step(self, closure=None):
        """Change the parameters that have gradients, once. Returns the closure's value."""
        loss = evaluate(closure)
        plans = self.__dict__.setdefault("_plans", {})
        for i, group in enumerate(self.param_groups):
            if group.get("differentiable"):
                differentiable.step(self, group)
                continue
            params = [p for p in group["params"] if p._grad is not None]
            plan = plans.get(i)
            if plan is None or not plan.holds(self, params, group):
                plan = plans[i] = _Plan(self, params, group)
            plan.run(self, group)
        return loss

    def update_of(self, group: dict, step: int, scalars: dict, fresh: bool):
        """The rule, after what all have in common: maximize, and weight decay of either kind."""
        update = self.rule(group, step, scalars, fresh)
        maximize, decay = group.get("maximize", False), number(group.get("weight_decay", 0))
        if not maximize and not decay:
            return update
        shrink = 1 - number(group["lr"]) * decay if group.get("decoupled_weight_decay") else None

        def whole(p, g, *slots):
            if maximize:
                g = -g
            if shrink is not None:
                p *= shrink
            elif decay:
                decayed = p * decay
                decayed += g
                g = decayed
            update(p, g, *slots)

        return whole


class _Plan:
    """How the parameters of a group that have gradients are stepped."""

    def __init__(self, optimizer: Elementwise, params: list[Tensor], group: dict):
        self.params, self.slots = params, optimizer.slots(group)
        kinds = defaultdict(list)
        for p in params:
            fresh, state = optimizer.prepare(p, group), optimizer.state[p]
            numbers = tuple([float(state[n]._data) for n in _scalar_names(optimizer, group)])
            kinds[p.device, p._data.dtype, numbers, fresh].append(p)
        self.units = []
        for (_, _, _, fresh), alike in kinds.items():
            small = [p for p in alike if p._data.size <= SMALL]
            packed = set(map(id, small))
            # Not worth it without state; and a parameter given twice is stepped twice.
            if not self.slots or len(packed) < 2 or len(packed) != len(small):
                small, packed = [], set()
            large = [p for p in alike if id(p) not in packed]
            for kind, members in ((_Unit, large), (_Pack, small)):
                if members:
                    self.units.append(kind(members, optimizer, group, self.slots, fresh))

    def holds(self, optimizer: Elementwise, params: list[Tensor], group: dict) -> bool:
        """Whether the plan still fits: the same parameters have gradients, and nobody has exchanged their state."""
        if list(map(id, params)) != list(map(id, self.params)):
            return False
        if optimizer.slots(group).keys() != self.slots.keys():
            return False
        return all([unit.holds(optimizer.state) for unit in self.units])  # lists: generators take twice as long

    @hushed
    def run(self, optimizer: Elementwise, group: dict) -> None:
        for unit in self.units:
            update = optimizer.update_of(group, unit.advance(), unit.scalars, unit.fresh)
            with scope(unit.params[0].device):
                unit.apply(update)
            unit.fresh = False
            for p in unit.params:
                (p._counter or counter(p))[0] += 1


def _scalar_names(optimizer: Elementwise, group: dict) -> list[str]:
    return [*(["step"] if optimizer.counted else []), *optimizer.scalars(group)]


def _initialise(optimizer: Elementwise, p: Tensor, state: dict, group: dict, slots: dict) -> bool:
    """Make what is missing in a parameter's state; True if slots were."""
    kind = np.float64 if dtypes.get_default_dtype() is dtypes.float64 else np.float32
    for name, value in {**({"step": 0.0} if optimizer.counted else {}), **optimizer.scalars(group)}.items():
        if name not in state:
            state[name] = wrap(np.asarray(value, kind))
        elif not isinstance(state[name], Tensor):  # a number, as older checkpoints have it
            state[name] = wrap(np.asarray(state[name], kind))
    fresh = False
    for name, value in slots.items():
        if state.get(name) is None:
            fresh = True
            with scope(p.device):
                array = namespace(p.device).empty_like(p._data)
                array[...] = complex(value, value) if array.dtype.kind == "c" else value
            state[name] = wrap(array, p.device)
    return fresh


class _Unit:
    """Parameters for which the same numbers hold, each stepped where it lies."""

    def __init__(self, params: list[Tensor], optimizer: Elementwise, group: dict, slots: dict, fresh: bool):
        self.params, self.fresh, self.slots = params, fresh, list(slots)
        self.distinct = len(set(map(id, params))) == len(params)
        self.states = [optimizer.state[p] for p in params]
        self.names = _scalar_names(optimizer, group)
        self.block, self.inside = optimizer.block, optimizer.threads_inside
        self.pin()

    def pin(self) -> None:
        """Remember the tensors of the state, so as to see when somebody exchanges one."""
        self.pinned = [(s, n, s[n]) for s in self.states for n in (*self.names, *self.slots)]
        self.numbers = [[s[n]._data for s in self.states] for n in self.names]

    def holds(self, state: dict) -> bool:
        whose = zip(self.params, self.states, strict=True)
        kept = all([state.get(p) is own for p, own in whose])
        return kept and all([own.get(name) is tensor for own, name, tensor in self.pinned])

    @property
    def scalars(self) -> "_Scalars":
        return _Scalars(self)

    def advance(self) -> int:
        """Count a step, and return which it is."""
        if not self.names or self.names[0] != "step":
            return 0
        for array in self.numbers[0]:
            array += 1
        return int(self.numbers[0][0].flat[0])

    def apply(self, update) -> None:
        whole = [
            [p._data, p._grad._data, *[state[n]._data for n in self.slots]]
            for p, state in zip(self.params, self.states, strict=True)
        ]
        if self.distinct:
            _run(update, whole, self.block, self.inside)
        else:  # a parameter given twice is stepped twice, one step after the other
            for arrays in whole:
                _run(update, [arrays], self.block, self.inside)


class _Scalars:
    """A unit's numbers by name, the same for all of its parameters."""

    def __init__(self, unit: _Unit):
        self._unit = unit

    def __getitem__(self, name: str) -> float:
        return float(self._unit.numbers[self._unit.names.index(name)][0].flat[0])

    def __setitem__(self, name: str, value: float) -> None:
        for array in self._unit.numbers[self._unit.names.index(name)]:
            array[...] = value


class _Pack(_Unit):
    """Small parameters, stepped as one array."""

    def pin(self) -> None:
        xp = namespace(self.params[0].device)
        sizes = [p._data.size for p in self.params]
        ends = np.cumsum(sizes).tolist()
        parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        shapes = [p._data.shape for p in self.params]
        kind = self.params[0]._data.dtype
        self.flat = []
        with scope(self.params[0].device):
            self.p, self.g = xp.empty(ends[-1], kind), xp.empty(ends[-1], kind)
            self.own = [self.p[part].reshape(s) for part, s in zip(parts, shapes, strict=True)]
            for name in self.slots:
                flat = xp.concatenate([s[name]._data.ravel() for s in self.states])
                self.flat.append(flat)
                for state, part, shape in zip(self.states, parts, shapes, strict=True):
                    state[name]._data = flat[part].reshape(shape)
        super().pin()
        for i, name in enumerate(self.names):  # the numbers, too, are views of one array
            together = np.array(self.numbers[i])
            for k, state in enumerate(self.states):
                state[name]._data = together[k : k + 1].reshape(())
            self.numbers[i] = [together] if together.size else []

        self.views = [(t, t._data) for _, _, t in self.pinned]

    def holds(self, state: dict) -> bool:
        return super().holds(state) and all([t._data is view for t, view in self.views])

    def apply(self, update) -> None:
        xp = namespace(self.params[0].device)
        xp.concatenate([p._data for p in self.params], axis=None, out=self.p)
        xp.concatenate([p._grad._data for p in self.params], axis=None, out=self.g)
        _run(update, [[self.p, self.g, *self.flat]], self.block, self.inside)
        for p, own in zip(self.params, self.own, strict=True):
            p._data[...] = own


def _run(update, parameters: list, block: int, inside: bool) -> None:
    """Apply `update` to the arrays of each parameter, in blocks; two-byte floats in float32, rounded at the end.

    The blocks of large parameters are shared among threads, unless `inside` (see Elementwise) says that each block is:
    every element is computed alike, whoever does it.
    """
    alone, shared = [], []
    for arrays in parameters:
        if arrays[0].dtype.itemsize == 2:
            _run_wide(update, arrays, block, inside)
            continue
        whole = inside and arrays[0].dtype == np.float32
        parts = _blocks(arrays, block * get_num_threads() if whole else block)
        (alone if whole or len(parts) == 1 else shared).extend(parts)
    for arrays in alone:
        update(*arrays)
    if len(shared) < MANY:
        for arrays in shared:
            update(*arrays)
    else:
        share(update, shared)


def _run_wide(update, arrays: list, block: int, inside: bool) -> None:
    wide = [a.astype(np.float32) for a in arrays]
    _run(update, [wide], block, inside)
    for i, (narrow, a) in enumerate(zip(arrays, wide, strict=True)):
        if i != 1:  # the gradient stays as it is
            narrow[...] = converted(a, narrow.dtype)


def _blocks(arrays: list, block: int):
    """The arrays, real, of at least one dimension, and cut into corresponding blocks."""
    if arrays[0].ndim == 0:  # operations on these would give scalars, which cannot be written to
        arrays = [a.reshape(1) for a in arrays]
    if arrays[0].dtype.kind == "c":
        real = np.float32 if arrays[0].dtype == np.complex64 else np.float64
        if not all(a.flags.c_contiguous for a in arrays[:1] + arrays[2:]):
            raise NotImplementedError("complex parameters must be contiguous")
        arrays = [a.reshape(-1).view(real) for a in [arrays[0], np.ascontiguousarray(arrays[1]), *arrays[2:]]]
    size = arrays[0].size
    if size <= block or not isinstance(arrays[0], np.ndarray):
        return [arrays]
    if not all(a.flags.c_contiguous for a in arrays):
        order = sorted(range(arrays[0].ndim), key=lambda i: -arrays[0].strides[i])
        arrays = [a.transpose(order) for a in arrays]
        arrays[1] = np.ascontiguousarray(arrays[1])
        if not all(a.flags.c_contiguous for a in arrays):
            return [arrays]
    flat = [a.reshape(-1) for a in arrays]
    return [[a[i : i + block] for a in flat] for i in range(0, size, block)]
