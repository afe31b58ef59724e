"""torch.autograd.functional: derivatives of functions of tensors.

Jacobians are built a row at a time by backward sweeps; forward products by the double-backward trick (the gradient of a
vector-Jacobian product with respect to its vector is a Jacobian-vector product; Townsend, 2017).
"""

from collections.abc import Callable
from typing import Any

from ..ops import ones_like, stack, zeros, zeros_like
from .gradients import grad
from .mode import enable_grad
from .variable import Tensor


def _several(value: Any, what: str) -> tuple[bool, tuple]:
    """Whether `value` is a tuple or list of tensors, and it as a tuple."""
    single = isinstance(value, Tensor)
    several = (value,) if single else tuple(value)
    for i, t in enumerate(several):
        if not isinstance(t, Tensor):
            where = f"Value at index {i} has type {type(t)}" if not single else f"has type {type(t)}"
            raise TypeError(f"The {what} given must be either a Tensor or a tuple of Tensors but {where}.")
    return not single, several


def _inputs(inputs: Any, create_graph: bool) -> tuple[bool, tuple]:
    """The inputs as tensors of a graph of their own (joined to the caller's if a graph is wanted)."""
    several, given = _several(inputs, "inputs")
    return several, tuple(
        t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_() for t in given
    )


def _called(func: Callable, inputs: tuple, what: str) -> tuple[bool, tuple]:
    with enable_grad():
        return _several(func(*inputs), f"outputs of the user-provided function given to {what}")


def _strictly(found: Any, like: tuple, strict: bool, what: str) -> tuple:
    """Gradients with zeros where nothing depends, or RuntimeError if that is not allowed."""
    if strict and any(g is None for g in found):
        i = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(
            f"The output of the user-provided function is independent of input {i}. This is not "
            f"allowed in strict mode when {what}."
        )
    return tuple(zeros_like(t) if g is None else g for g, t in zip(found, like, strict=True))


def _grad(outputs: tuple, inputs: tuple, vectors: Any, create_graph: bool) -> tuple:
    pairs = [(o, v) for o, v in zip(outputs, vectors, strict=True) if o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    return grad(
        [o for o, _ in pairs],
        inputs,
        [v for _, v in pairs],
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
    )


def _plain(values: tuple, create_graph: bool) -> tuple:
    return values if create_graph else tuple(v.detach() for v in values)


def _one(values: tuple, several: bool) -> Any:
    return values if several else values[0]


def _vectors(v: Any, like: tuple, what: str) -> tuple:
    if v is None:
        if any(t.numel() != 1 for t in like):
            raise RuntimeError(f"The vector v can only be None if the {what} is a Tensor with a single element.")
        return tuple(ones_like(t) for t in like)
    _, given = _several(v, "vector v")
    if len(given) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(given)}.")
    for i, (a, b) in enumerate(zip(given, like, strict=True)):
        if a.shape != b.shape:
            raise RuntimeError(f"Entry {i} in v has invalid size: should be {b.shape} but got {a.shape}.")
    return given


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(inputs), the product of v and the Jacobian: a tensor like each input)."""
    several_in, xs = _inputs(inputs, create_graph)
    several_out, ys = _called(func, xs, "vjp")
    found = _strictly(_grad(ys, xs, _vectors(v, ys, "output"), create_graph), xs, strict, "computing the vjp")
    return _one(_plain(ys, create_graph), several_out), _one(_plain(found, create_graph), several_in)


def _forward_product(ys: tuple, xs: tuple, v: tuple, create_graph: bool) -> tuple:
    """The product of the Jacobian and v, by differentiating the product of a vector u and the Jacobian with respect to
    u.
    """
    us = tuple(zeros_like(y).requires_grad_() for y in ys)
    with enable_grad():
        pulled = _grad(ys, xs, us, True)
        pairs = [(p, w) for p, w in zip(pulled, v, strict=True) if p is not None and p.requires_grad]
        if not pairs:
            return (None,) * len(ys)
        return grad(
            [p for p, _ in pairs],
            us,
            [w for _, w in pairs],
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(inputs), the product of the Jacobian and v: a tensor like each output)."""
    _, xs = _inputs(inputs, create_graph)
    several_out, ys = _called(func, xs, "jvp")
    found = _strictly(_forward_product(ys, xs, _vectors(v, xs, "input"), create_graph), ys, strict, "computing the jvp")
    return _one(_plain(ys, create_graph), several_out), _one(_plain(found, create_graph), several_out)


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivatives of every output element by every input element: shape (*output, *input); tuples for several of
    either.
    """
    several_in, xs = _inputs(inputs, create_graph)
    several_out, ys = _called(func, xs, "jacobian")
    rows = []
    for y in ys:
        columns: list[list] = [[] for _ in xs]
        for k in range(y.numel()):
            found = _grad((y.reshape(-1)[k],), xs, (None,), create_graph)
            for column, g in zip(columns, _strictly(found, xs, strict, "computing the Jacobian"), strict=True):
                column.append(g)
        made = [
            stack(c).reshape(y.shape + x.shape) if c else zeros(y.shape + x.shape, dtype=y.dtype)
            for c, x in zip(columns, xs, strict=True)
        ]
        rows.append(_one(_plain(tuple(made), create_graph), several_in))
    return _one(tuple(rows), several_out)


def _scalar(func: Callable, what: str) -> Callable:
    def checked(*xs):
        several, ys = _several(func(*xs), f"outputs of the user-provided function given to {what}")
        if several or ys[0].numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to " + what + " should contain a single element"
            )
        return ys[0].reshape(())

    return checked


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a scalar function: shape (*input, *input); tuples of tuples for several inputs."""
    several, _ = _several(inputs, "inputs")
    scalar = _scalar(func, "hessian")

    def gradient(*xs):
        with enable_grad():
            xs = tuple(x if x.requires_grad else x.detach().requires_grad_() for x in xs)
            found = _strictly(_grad((scalar(*xs),), xs, (None,), True), xs, strict, "computing the Hessian")
        return found if several else found[0]

    return jacobian(gradient, inputs, create_graph, strict)


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(inputs), the product of v and the Hessian of a scalar function)."""
    several, xs = _inputs(inputs, create_graph)
    with enable_grad():
        y = _scalar(func, "vhp")(*xs)
        first = _strictly(_grad((y,), xs, (None,), True), xs, strict, "computing the vhp")
    found = _strictly(_grad(first, xs, _vectors(v, xs, "input"), create_graph), xs, strict, "computing the vhp")
    return _plain((y,), create_graph)[0], _one(_plain(found, create_graph), several)


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(inputs), the product of the Hessian of a scalar function and v); the Hessian is symmetric, so it is
    vhp's.
    """
    return vhp(func, inputs, v, create_graph, strict)
