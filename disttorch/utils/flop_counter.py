"""FlopCounterMode: how many floating point operations the products of a program take (torch.utils.flop_counter).

Matrix products, convolutions and attention are counted, forward and backward, a multiplication and the addition that
follows it as two; all else, and the layers of recurrent networks, are not.
"""

import math
import warnings
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from ..autograd.mode import mode
from ..autograd.op import Op
from ..nn.modules.module import Module
from ..ops.attention import _attention as attention
from ..ops.convolution import _convolution as convolution
from ..ops.convolution import _to_input, _to_weight
from ..ops.convolution import _transposed as transposed
from ..ops.linear import _linear as linear
from ..ops.linear import _linear_plain, _linear_relu, _parts
from ..ops.matmul import _bmm, _mm
from ..profiler.recording import listen, unlisten


def _product(x: Any, y: Any) -> int:
    """(*, M, K) @ (*, K, N)"""
    return 2 * x.numel() * y.shape[-1]


def _linear(x: Any, w: Any, b: Any) -> int:
    return 2 * x.numel() * w.shape[0]


def _convolution(x: Any, w: Any, b: Any, geometry: tuple, out: Any) -> int:
    return 2 * x.shape[0] * w.numel() * math.prod(out.shape[2:])


def _transposed(x: Any, w: Any, *_: Any) -> int:
    return 2 * x.shape[0] * w.numel() * math.prod(x.shape[2:])


def _attention(q: Any, k: Any, v: Any, *_: Any) -> int:
    return 2 * q.numel() * k.shape[-2] + 2 * math.prod(q.shape[:-1]) * math.prod(v.shape[-2:])


class _Formula(NamedTuple):
    """What an operation is called and takes. gradient: the same of its gradient where that is one operation here."""

    name: str
    flops: Callable
    gradient: str | None = None
    share: Callable = sum  # from which inputs need gradients to the gradient's flops, in forwards
    inputs: slice = slice(None)  # those that are factors


_FACTORS = {"gradient": "aten.mm", "inputs": slice(1, None)}
_FORMULAS = {
    _mm: _Formula("aten.mm", _product, "aten.mm"),
    _bmm: _Formula("aten.bmm", _product),
    linear: _Formula("aten.addmm", _linear, **_FACTORS),
    _linear_plain: _Formula("aten.mm", _linear, **_FACTORS),
    _linear_relu: _Formula("aten.addmm", _linear, **_FACTORS),
    _parts: _Formula("aten.addmm", _linear, **_FACTORS),
    convolution: _Formula("aten.convolution", _convolution, "aten.convolution_backward", inputs=slice(0, 2)),
    transposed: _Formula("aten.convolution", _transposed),
    _to_input: _Formula("aten.convolution_backward", _transposed),
    _to_weight: _Formula(
        "aten.convolution_backward", lambda y, x, shape, _: 2 * y.shape[0] * math.prod(shape) * math.prod(y.shape[2:])
    ),
    # five products where the forward has two: the weights are computed once more
    attention: _Formula(
        "aten._scaled_dot_product_flash_attention",
        _attention,
        "aten._scaled_dot_product_flash_attention_backward",
        lambda needs: 2.5,
    ),
}


class FlopCounterMode:
    """Counts inside `with FlopCounterMode() as counter:`, by module and operation; of one program at a time.

    depth: how deep the table goes into modules (None: all the way); display: print it at the end.
    """

    kinds = ("cpu_op", "backward", "module")  # what it listens to; see disttorch.profiler.points

    def __init__(self, mods: Any = None, depth: int | None = 2, display: bool = True, custom_mapping: Any = None):
        if mods is not None:
            warnings.warn("mods argument is not needed anymore, you can stop passing it", stacklevel=2)
        if custom_mapping:
            raise NotImplementedError("FlopCounterMode(): custom_mapping is for operations of torch.ops, of which "
                                      "there are none here")  # fmt: skip
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._names: weakref.WeakKeyDictionary[Module, str] = weakref.WeakKeyDictionary()
        self._inside: tuple[str, ...] = ("Global",)  # the modules whose forward or backward runs
        self._made: weakref.WeakKeyDictionary[Any, tuple] = weakref.WeakKeyDictionary()  # node -> where, flops

    def __enter__(self) -> "FlopCounterMode":
        self.flop_counts.clear()
        listen(self)
        return self

    def __exit__(self, *error: object) -> None:
        unlisten(self)
        if self.display:
            print(self.get_table(self.depth))

    def get_total_flops(self) -> int:
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """By a module's name ("Global" for the whole) and an operation's."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as text, a line for each module and operation."""
        depth = self.depth if depth is None else depth
        whole, rows = self.get_total_flops(), [("Module", "FLOP", "% Total")]
        for name in ["Global", *sorted(n for n in self.flop_counts if n != "Global")]:
            level = 0 if name == "Global" else name.count(".") + 1
            if depth is not None and level > depth:
                continue
            counts, space = self.flop_counts[name], " " * level
            lines = [(name, sum(counts.values())), *((f" - {op}", n) for op, n in counts.items())]
            rows += [(space + text, f"{n:,}", f"{n / whole if whole else 0:.2%}") for text, n in lines]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)

    # -- what a recorder has ---------------------------------------------------------------------------------------
    def begin(self, name: str, args: tuple = (), kind: str = "") -> None:
        """Named ranges are not counted."""

    def finish(self, event: None) -> None:
        pass

    def hearing(self, point: Any, function: Callable) -> Callable:
        if point.kind == "module":
            return lambda module, *args, **kwargs: self._forward(function, module, args, kwargs)
        if point.kind == "backward":
            return lambda node, grads: self._backward(function, node, grads)
        if point.owner is Op and point.attribute == "__call__":
            return lambda op, *args: self._operation(function, op, args)
        return function

    def _forward(self, function: Callable, module: Module, args: tuple, kwargs: dict) -> Any:
        name = self._name(module)
        before = self._inside
        self._inside = before if name in before else (*before, name)
        try:
            return function(module, *args, **kwargs)
        finally:
            self._inside = before

    def _operation(self, function: Callable, op: Op, args: tuple) -> Any:
        out = function(op, *args)
        formula = _FORMULAS.get(op)
        if formula is None:
            flops = 0
        else:
            flops = formula.flops(*args, out) if formula.flops is _convolution else formula.flops(*args)
            self._count(formula.name, flops)
        for result in out if isinstance(out, tuple) else (out,):
            if result._node is not None:
                self._made[result._node] = self._inside, flops
        return out

    def _backward(self, function: Callable, node: Any, grads: tuple) -> Any:
        before = self._inside
        self._inside, flops = self._made.get(node, (before, 0))
        try:
            formula = _FORMULAS.get(node.op)
            made_of_others = mode.grad or any(g is not None and g.dtype.is_complex for g in grads)
            if flops and formula is not None and formula.gradient is not None and not made_of_others:
                share = formula.share(node.plan.needs[formula.inputs])
                self._count(formula.gradient, int(flops * share))
            return function(node, grads)
        finally:
            self._inside = before

    def _count(self, operation: str, flops: int) -> None:
        for name in self._inside:
            self.flop_counts[name][operation] += flops

    def _name(self, module: Module) -> str:
        """Its name below the outermost module that was called."""
        if module not in self._names:
            root = type(module).__name__
            for name, found in module.named_modules():
                self._names.setdefault(found, f"{root}.{name}" if name else root)
        return self._names[module]
