"""grad, vjp, jvp and Jacobians of functions of nested tensors."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..autograd import functional
from ..autograd.gradients import grad as gradients
from ..autograd.mode import enable_grad, mode
from ..autograd.variable import Tensor
from ..ops import zeros_like
from .trees import flatten, mapped, structure


def _fresh(value: Any) -> Any:
    """Tensors as inputs of a graph of their own, joined to the outer graph where there is one."""
    return mapped(lambda t: t.view_as(t) if t.requires_grad and mode.grad else t.detach().requires_grad_(), value)


def _numbers(args: tuple, argnums: int | tuple) -> tuple[bool, tuple]:
    """(whether one argument is meant, the places of those that are), checked."""
    if not isinstance(argnums, int | tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    single = isinstance(argnums, int)
    numbers = (argnums,) if single else argnums
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
        for t in [args[n]] if not isinstance(args[n], (tuple, list, dict)) else []:
            if not isinstance(t, Tensor):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
    return single, tuple(n % len(args) for n in numbers)


def _chosen(args: tuple, argnums: int | tuple) -> tuple[bool, tuple, list]:
    single, numbers = _numbers(args, argnums)
    given = list(args)
    for n in numbers:
        given[n] = _fresh(args[n])
    return single, numbers, given


def grad_and_value(func: Callable, argnums: int | tuple = 0, has_aux: bool = False) -> Callable:
    """A function that gives (gradients of `func` by its arguments `argnums`, its value); with has_aux, (…, (value,
    aux)).
    """

    def wrapped(*args, **kwargs):
        outer = mode.grad
        single, numbers, given = _chosen(args, argnums)
        with enable_grad():
            result = func(*given, **kwargs)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError(
                "grad_and_value(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is True"
            )
        value, aux = result if has_aux else (result, None)
        if not isinstance(value, Tensor) or value.numel() != 1:
            wanted = (
                f"scalar Tensor, got tensor with {value.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs "
                "instead?"
                if isinstance(value, Tensor)
                else f"Tensor, got {type(value)}"
            )
            raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a {wanted}")
        leaves, rebuild = flatten(tuple(given[n] for n in numbers))
        # Higher orders differentiate through this result, so the graph is always made; the outermost detaches.
        found = (
            gradients(value, leaves, create_graph=True, allow_unused=True)
            if value.requires_grad
            else [None] * len(leaves)
        )
        found = [zeros_like(t) if g is None else g for g, t in zip(found, leaves, strict=True)]
        watched = outer and any(t.requires_grad for a in (args, kwargs) for t in flatten(a)[0])
        if not watched:
            found, value, aux = [g.detach() for g in found], value.detach(), mapped(Tensor.detach, aux)
        got = rebuild(found)
        got = got[0] if single else got
        return (got, (value, aux)) if has_aux else (got, value)

    return wrapped


def grad(func: Callable, argnums: int | tuple = 0, has_aux: bool = False) -> Callable:
    """A function that gives the gradients of the scalar function `func` by its arguments `argnums`; with has_aux, (…,
    aux).
    """
    both = grad_and_value(func, argnums, has_aux)

    def wrapped(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapped


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(func(*primals), a function from a vector like the output to the products with the Jacobian); with has_aux, aux
    too. RuntimeError where `func` gives no tensors, or the vector is nested otherwise than the output.
    """
    given = _fresh(tuple(primals))
    with enable_grad():
        result = func(*given)
    output, aux = result if has_aux else (result, None)
    leaves, rebuild = flatten(given)
    outs, _ = flatten(output)
    if not outs:
        raise RuntimeError(
            f"vjp(f, *primals): expected f(*primals) to return only tensors, got unsupported type {type(output)}"
        )
    nested = structure(output)
    watched = mode.grad and any(t.requires_grad for t in flatten(primals)[0])

    def pull(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> tuple:
        if structure(cotangents) != nested:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                f"function. cotangents: {structure(cotangents)}, primal output: {nested}"
            )
        vectors, _ = flatten(cotangents)
        found = functional._grad(tuple(outs), tuple(leaves), vectors, create_graph or watched)
        return rebuild([zeros_like(t) if g is None else g for g, t in zip(found, leaves, strict=True)])

    shown, aux = (output, aux) if watched else mapped(Tensor.detach, (output, aux))
    return (shown, pull, aux) if has_aux else (shown, pull)


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """(func(*primals), the product of the Jacobian and the tangents); with has_aux, aux too.

    RuntimeError unless the primals are a tuple with at least one tensor and the tangents are nested as they are.
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    if structure(primals) != structure(tangents):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python structure. For example, "
            "if primals is a tuple of 3 tensors, tangents also must be. Got primals with structure "
            f"{structure(primals)} and tangents with structure {structure(tangents)}"
        )
    if not flatten(primals)[0]:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals to contain at least one Tensor.")
    given = _fresh(tuple(primals))
    with enable_grad():
        result = func(*given)
    output, aux = result if has_aux else (result, None)
    xs, vs = flatten(given)[0], flatten(tuple(tangents))[0]
    ys, rebuild = flatten(output)
    watched = mode.grad and any(t.requires_grad for t in flatten((primals, tangents))[0])
    found = functional._forward_product(tuple(ys), tuple(xs), tuple(vs), watched)
    pushed = rebuild(
        [zeros_like(y) if g is None else g if watched else g.detach() for g, y in zip(found, ys, strict=True)]
    )
    shown, aux = (output, aux) if watched else mapped(Tensor.detach, (output, aux))
    return (shown, pushed, aux) if has_aux else (shown, pushed)


def linearize(func: Callable, *primals: Any) -> tuple:
    """(func(*primals), a function from tangents of the primals to their products with the Jacobian there)."""
    given = _fresh(tuple(primals))
    with enable_grad():
        output = func(*given)
    xs, (ys, rebuild) = flatten(given)[0], flatten(output)

    def push(*tangents: Any) -> Any:
        found = functional._forward_product(tuple(ys), tuple(xs), tuple(flatten(tangents)[0]), False)
        return rebuild([zeros_like(y) if g is None else g.detach() for g, y in zip(found, ys, strict=True)])

    return mapped(Tensor.detach, output), push


def jacrev(func: Callable, argnums: int | tuple = 0, has_aux: bool = False, **_: Any) -> Callable:
    """A function that gives the Jacobian of `func` by its arguments `argnums`, by backward sweeps: nested as the
    output, and there as the arguments.
    """

    def wrapped(*args, **kwargs):
        single, numbers = _numbers(args, argnums)
        leaves, rebuild = flatten(tuple(args[n] for n in numbers))
        aux = restore = None

        def chosen(*xs):
            nonlocal aux, restore
            given = list(args)
            for n, x in zip(numbers, rebuild(list(xs)), strict=True):
                given[n] = x
            result = func(*given, **kwargs)
            if has_aux:
                result, aux = result
            outs, restore = flatten(result)
            if not outs:
                raise RuntimeError(
                    "vjp(f, *primals): expected f(*primals) to return only tensors, got unsupported type "
                    f"{type(result)}"
                )
            return tuple(outs)

        watched = mode.grad and any(t.requires_grad for t in leaves)
        rows = [rebuild(list(row)) for row in functional.jacobian(chosen, tuple(leaves), create_graph=watched)]
        found = restore([row[0] if single else row for row in rows])
        aux = aux if watched else mapped(Tensor.detach, aux)
        return (found, aux) if has_aux else found

    return wrapped


jacfwd = jacrev


def hessian(func: Callable, argnums: int | tuple = 0) -> Callable:
    """A function that gives the second derivatives of the scalar function `func`."""

    def wrapped(*args, **kwargs):
        _, numbers = _numbers(args, argnums)

        def chosen(*xs):
            given = list(args)
            for n, x in zip(numbers, xs, strict=True):
                given[n] = x
            return func(*given, **kwargs)

        return functional.hessian(
            chosen, args[argnums] if isinstance(argnums, int) else tuple(args[n] for n in numbers)
        )

    return wrapped


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights=True,
    strict=False,
) -> Any:
    """module(*args, **kwargs) with parameters and buffers taken from a dict (or several)."""
    from ..nn.utils.stateless import call

    if isinstance(parameter_and_buffer_dicts, dict):
        merged = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, (tuple, list)):
        names = [name for d in parameter_and_buffer_dicts for name in d]
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        merged = {name: t for d in parameter_and_buffer_dicts for name, t in d.items()}
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(parameter_and_buffer_dicts)}"
        )
    return call(module, merged, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models: Any) -> tuple[dict, dict]:
    """The parameters and the buffers of several alike modules, stacked along a new first dimension."""
    from ..ops import stack

    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(m.training is not models[0].training for m in models):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = {
        n: stack([dict(m.named_parameters())[n] for m in models]).detach().requires_grad_()
        for n, _ in models[0].named_parameters()
    }
    buffers = {n: stack([dict(m.named_buffers())[n] for m in models]) for n, _ in models[0].named_buffers()}
    return parameters, buffers
