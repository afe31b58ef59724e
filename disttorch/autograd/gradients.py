"""`backward` and `grad`: the sweep's face."""

from collections.abc import Sequence

from ..devices import namespace, scope
from .sweep import sweep
from .variable import Tensor, edge, wrap


def backward(
    tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None
) -> None:
    """Accumulate the gradients of `tensors` (their sum, weighted by `grad_tensors`) into the leaves' `.grad`.

    Raises RuntimeError (PyTorch's texts) for a tensor without a history, a non-scalar without `grad_tensors`, a
    gradient of another shape, or a graph whose saved values have been freed.
    """
    tensors = _tuple(tensors)
    roots, grads = _roots(tensors, _gradients(grad_tensors, len(tensors)))
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        sweep(roots, grads, retain=retain, create=create_graph)
        return
    inputs = _tuple(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    found = sweep(roots, grads, retain=retain, create=create_graph, targets=[edge(t) for t in inputs])
    for t, g in zip(inputs, found, strict=True):
        if g is not None:
            held = t._grad
            # a clone: other inputs, or the elements of a broadcast gradient, may share its memory
            t._grad = (g if create_graph else g.detach()).clone() if held is None else held + g


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
) -> tuple:
    """The gradients of `outputs` (their sum, weighted by `grad_outputs`) with respect to `inputs`; `.grad` is not
    touched.

    An input that the outputs do not depend on is an error unless `allow_unused` (None for it) or `materialize_grads`
    (zeros).
    """
    if not only_inputs:
        raise NotImplementedError("grad(): only_inputs=False is no longer supported: use backward() to fill .grad")
    outputs, inputs = _tuple(outputs), _tuple(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    given = _gradients(grad_outputs, len(outputs))
    if is_grads_batched:
        from ..ops import stack

        size = next(g for g in given if g is not None).shape[0]
        rows = [
            grad(
                outputs,
                inputs,
                [None if g is None else g[i] for g in given],
                True,
                create_graph,
                allow_unused=allow_unused,
                materialize_grads=materialize_grads,
            )
            for i in range(size)
        ]
        return tuple(None if column[0] is None else stack(list(column)) for column in zip(*rows, strict=True))
    roots, grads = _roots(outputs, given)
    targets = [edge(t) for t in inputs]
    if any(e is None for e in targets):
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    found = sweep(
        roots,
        grads,
        retain=create_graph if retain_graph is None else retain_graph,
        create=create_graph,
        targets=targets,
    )
    if not create_graph:
        found = [g if g is None or g._node is None else g.detach() for g in found]
    if materialize_grads:
        found = [_full(t, 0) if g is None else g for g, t in zip(found, inputs, strict=True)]
    elif not allow_unused and (unused := [i for i, g in enumerate(found) if g is None]):
        raise RuntimeError(
            f"The differentiated Tensor at index {unused[0]} appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior."
        )
    return tuple(found)


def _tuple(value) -> tuple:
    return (value,) if isinstance(value, Tensor) or not isinstance(value, Sequence) else tuple(value)


def _gradients(given, count: int) -> list:
    given = [None] * count if given is None else list(_tuple(given))[:count]
    if len(given) != count:
        raise RuntimeError(f"got {count} tensors and {len(given)} gradients")
    return given


def _roots(tensors, grads) -> tuple[list, list]:
    """The edges at which the sweep starts and the gradients that it starts with."""
    roots, starts = [], []
    for i, (t, g) in enumerate(zip(tensors, grads, strict=True)):
        if not isinstance(t, Tensor):
            raise TypeError(f"element {i} of tensors must be a Tensor, not {type(t).__name__}")
        e = edge(t)
        if e is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        if g is None:
            if t._data.size != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if t._data.dtype.kind == "c":
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {t.dtype}")
            g = _full(t, 1)
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g._data.shape != t._data.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of "
                f"{t.shape}."
            )
        roots.append(e)
        starts.append(g)
    return roots, starts


def _full(t: Tensor, value) -> Tensor:
    with scope(t.device):
        return wrap(namespace(t.device).full(t._data.shape, value, t._data.dtype), t.device)
