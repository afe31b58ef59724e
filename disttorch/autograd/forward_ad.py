"""Forward-mode differentiation: dual numbers, whose tangents go along with them through a computation.

    with dual_level():
        y = f(make_dual(x, v))
        value, product = unpack_dual(y)      # f(x), and its Jacobian at x times v

The tangents follow the graph that is recorded for backward anyway, when somebody asks for them: through each node in
turn, as the derivative of the node's backward with respect to the gradient that goes into it (Townsend, 2017), or by
the `jvp` of a custom Function. So results of dual tensors require gradients, and what is computed under `no_grad` has
no tangent.
"""

from typing import Any, NamedTuple

from .function import Function, FunctionNode
from .mode import mode
from .node import Node
from .op import zeros
from .sweep import fit, sweep
from .variable import Tensor, alias, edge


class UnpackedDualTensor(NamedTuple):
    """A tensor without its tangent, and the tangent (None without one)."""

    primal: Tensor
    tangent: Tensor | None


class _Level:
    """A time in which there are dual tensors; afterwards their tangents are gone."""

    def __init__(self):
        self.active, self.outer_mode = True, mode.grad


_level: _Level | None = None


def enter_dual_level() -> int:
    """Begin a time of dual tensors; -> its number, 0. RuntimeError inside another."""
    global _level
    if _level is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _level = _Level()
    mode.grad = True
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the time of dual tensors."""
    global _level
    if _level is None:
        raise RuntimeError("Trying to exit a forward AD level that was not entered. Use enter_dual_level() first.")
    _level.active = False
    mode.grad = _level.outer_mode
    _level = None


class dual_level:
    """`with dual_level():` dual tensors can be made, used and unpacked."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *exc):
        exit_dual_level()


class MakeDual(Node):
    """Where a dual tensor enters the graph."""

    def __init__(self, primal: Tensor, tangent: Tensor, level: _Level):
        self.edges = (edge(primal),)
        self.metas = ((primal._data.shape, primal._data.dtype, primal.device),)
        self.tangent, self.level = tangent, level

    def backward(self, grads: tuple) -> tuple:
        return grads


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """`tensor` with a tangent of the same shape and dtype. RuntimeError or ValueError (PyTorch's texts) otherwise."""
    if _level is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for what, t in (("primal", tensor), ("tangent", tangent)):
        if not (t.is_floating_point() or t.is_complex()):
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {t.dtype}")
    if tangent._data.shape != tensor._data.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(tensor._data.shape)} while the given forward gradient is of size "
            f"{list(tangent._data.shape)}."
        )
    dual = alias(tensor)
    dual._rg, dual._node, dual._nr = True, MakeDual(tensor, tangent, _level), 0
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor and its tangent (None if it does not depend on a dual tensor, or the time of these is over)."""
    start = edge(tensor) if _level is not None else None
    if start is None or isinstance(start[0], Tensor):
        return UnpackedDualTensor(tensor, None)
    order, depends = _walk(start[0])
    if start[0] not in depends:
        return UnpackedDualTensor(tensor, None)
    tangents: dict = {}
    for node in order:
        if node in depends:
            for nr, t in enumerate(_push(node, tangents)):
                if t is not None:
                    tangents[node, nr] = t
    found = tangents.get(start)
    duals = [node for node in depends if isinstance(node, MakeDual)]
    if any(isinstance(e[0], Tensor) for node in order for e in node.edges if e is not None):
        return UnpackedDualTensor(tensor, found)
    if found is not None and not any(d.tangent.requires_grad for d in duals) and found.grad_fn is not None:
        found = found.detach()
    return UnpackedDualTensor(tensor.detach(), found)


def _walk(root: Node) -> tuple[list, set]:
    """The nodes below `root`, each after those that it uses, and those that depend on a dual tensor."""
    order: list = []
    depends, seen, stack = set(), set(), [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            dual = isinstance(node, MakeDual) and node.level.active
            if dual or any(e is not None and e[0] in depends for e in node.edges):
                depends.add(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(e[0], False) for e in node.edges if e is not None and not isinstance(e[0], Tensor)]
    return order, depends


def _push(node: Node, tangents: dict) -> Any:
    """The tangents of a node's outputs, from those of its inputs."""
    if isinstance(node, MakeDual):
        return (node.tangent,)
    given = [None if e is None else tangents.get(e) for e in node.edges]
    if isinstance(node, FunctionNode) and node.function.jvp is not Function.jvp:
        found = node.push(given)
        return found if isinstance(found, tuple) else (found,)
    seeds = [None if m is None else zeros(m) for m in node.metas]
    for seed in seeds:
        if seed is not None and seed._data.dtype.kind in "fcV":
            seed._rg = True
    before, mode.grad = mode.grad, True
    try:
        pulled = node.backward(tuple(seeds))
        pairs = []
        for g, t in zip(pulled, given, strict=True):
            if t is not None and g is not None:
                g = fit(g, (t._data.shape, t._data.dtype, t.device))
                if edge(g) is not None:
                    pairs.append((edge(g), t))
        if not pairs:
            return (None,) * len(seeds)
        where = [None if s is None else edge(s) for s in seeds]
        return sweep([e for e, _ in pairs], [t for _, t in pairs], retain=True, create=True, targets=where)
    finally:
        mode.grad = before
