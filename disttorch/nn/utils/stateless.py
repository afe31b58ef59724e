"""A module called with other parameters and buffers than its own."""

import warnings
from contextlib import contextmanager

_ABSENT = object()


def functional_call(
    module, parameters_and_buffers: dict, args=None, kwargs=None, *, tie_weights: bool = True, strict: bool = False
):
    """Deprecated: use `func.functional_call`, which does the same."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future "
        "version of PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)


def call(module, tensors: dict, args=None, kwargs=None, *, tie_weights: bool = True, strict: bool = False):
    """`module(*args, **kwargs)` with `tensors` (by dotted name) in the places of its parameters and buffers.

    tie_weights: a tensor that the module has under several names is replaced under all of them. strict: RuntimeError
    unless the names are just the module's. Buffers that forward replaces are put into `tensors`.
    """
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with replaced(module, tensors, tie_weights, strict):
        return module(*args, **(kwargs or {}))


@contextmanager
def replaced(module, tensors: dict, tie_weights: bool, strict: bool):
    """A block in which `tensors` stand in the places of the module's own; arguments are those of `call`."""
    own = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    new = _tied(own, tensors) if tie_weights else tensors
    if strict:
        _check_names(module, own, new)
    places = []  # (table, name, what was there, dotted name)
    for path, tensor in new.items():
        table, name = _place(module, path)
        places.append((table, name, table.get(name, _ABSENT), path))
        table[name] = tensor
    try:
        yield
    finally:
        for table, name, before, path in reversed(places):
            if path in tensors:
                tensors[path] = table[name]
            if before is _ABSENT:
                del table[name]
            else:
                table[name] = before


def _place(module, path: str) -> tuple[dict, str]:
    """The table that holds the tensor with this dotted name, and its name there."""
    parent, _, name = path.rpartition(".")
    owner = module.get_submodule(parent)
    for table in (owner._parameters, owner._buffers):
        if name in table:
            return table, name
    return vars(owner), name  # an attribute for the call


def _check_names(module, own: dict, tensors: dict):
    errors = []
    for kind, names in (
        ("Unexpected", [n for n in tensors if n not in own]),
        ("Missing", sorted(n for n in own if n not in tensors)),
    ):
        if names:
            errors.append(f"{kind} key(s): {', '.join(map(repr, names))}.")
    if errors:
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(errors))


def _tied(own: dict, tensors: dict) -> dict:
    """`tensors` under all the names that the module has for each."""
    names: dict[int, list[str]] = {}
    for name, t in own.items():
        names.setdefault(id(t), []).append(name)
    new = dict(tensors)
    for group in names.values():
        given = [n for n in group if n in tensors]
        if len({id(tensors[n]) for n in given}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(group)}, which are tied. Consider using "
                "tie_weights=False"
            )
        if given:
            new.update(dict.fromkeys(group, tensors[given[0]]))
    return new
