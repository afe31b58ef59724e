"""Parameters computed from others: `register_parametrization(module, "weight", Symmetric())` makes `module.weight` the
output of `Symmetric` for a parameter that is trained in its place.
"""

from collections.abc import Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import ClassVar

from ...autograd.mode import no_grad
from ...autograd.variable import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter


class _Cache:
    """What parametrised tensors came to, inside `cached()`."""

    depth = 0
    values: ClassVar[dict[tuple[int, str], Tensor]] = {}


@contextmanager
def cached():
    """Inside, each parametrised tensor is computed once, at its first use."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values.clear()


class ParametrizationList(ModuleList):
    """The parametrisations of one tensor, applied one after another.

    What is trained is `original`, or `original0`, `original1`, ... if the first one's `right_inverse` gives several.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new = self._inverted(original)
        if not isinstance(new, Tensor | Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                + type(new).__name__
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            self._take_one(original, new)
        else:
            self._take_several(original, new)
        if not unsafe:
            _check_same(self(), dtype, shape, ("unparametrized", "parametrized"))

    def _inverted(self, value: Tensor):
        """`value` through the right inverses, where there are some."""
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):
                        value = module.right_inverse(value)
        return value

    def _take_one(self, original: Tensor, new: Tensor):
        for what in ("dtype", "device"):
            was, becomes = getattr(original, what), getattr(new, what)
            if was != becomes:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the {what}.\noriginal.{what}: {was}\n"
                    f"right_inverse(original).{what}: {becomes}"
                )
        original.data = new.data
        _register(self, "original", original)

    def _take_several(self, original: Tensor, new: Sequence[Tensor]):
        for i, t in enumerate(new):
            if not isinstance(t, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got element "
                    f"{i} of the sequence with type {type(t).__name__}."
                )
            if isinstance(original, Parameter):
                t = Parameter(t, original.requires_grad)
            _register(self, f"original{i}", t.requires_grad_(original.requires_grad))

    def _originals(self) -> list[Tensor]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrised tensor is `value`; RuntimeError without right inverses."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            values = [value] if self.is_tensor else value
            if self.is_tensor and not isinstance(value, Tensor):
                raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
            if not isinstance(values, Sequence):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
            if len(values) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of "
                    f"length {len(values)}."
                )
            for i, (original, t) in enumerate(zip(self._originals(), values, strict=True)):
                if original.dtype is not t.dtype:
                    first, name = ("The tensor", "original") if self.is_tensor else (f"Tensor {i}", f"original{i}")
                    raise ValueError(
                        f"{first} returned by `right_inverse` has dtype {t.dtype} while `{name}` has dtype "
                        f"{original.dtype}"
                    )
                original.data = t.data

    def forward(self) -> Tensor:
        first, *others = self
        value = first(*self._originals())
        for module in others:
            value = module(value)
        return value


def _check_same(made, dtype, shape, names: tuple[str, str]):
    """A parametrisation may not change dtype or shape."""
    if not isinstance(made, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
    for kind, was, becomes in (("dtype", dtype, made.dtype), ("shape", shape, made.shape)):
        if was != becomes:
            raise ValueError(
                f"Registering a parametrization may not change the {kind} of the tensor, unless `unsafe` flag is "
                "enabled.\n"
                f"{names[0]} {kind}: {was}\n{names[1]} {kind}: {becomes}"
            )


def _register(module: Module, name: str, t: Tensor):
    if isinstance(t, Parameter):
        module.register_parameter(name, t)
    else:
        module.register_buffer(name, t)


# -- a class of its own for each parametrised module ------------------------------------------------------------------
def _give_own_class(module: Module):
    """A subclass that can hold the properties of this one module."""
    kind = type(module)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            mine = type(self)  # the copy gets a class of its own, lest removing a property here remove it there
            body = {k: v for k, v in vars(mine).items() if k not in ("__dict__", "__weakref__")}
            replica = memo[id(self)] = object.__new__(type(mine.__name__, mine.__bases__, body))
            replica.__dict__ = deepcopy(self.__dict__, memo)
        return memo[id(self)]

    def __getstate__(self):
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See:\n"
            "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
            "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
        )

    body = {"__getstate__": __getstate__}
    if not hasattr(kind, "__deepcopy__"):
        body["__deepcopy__"] = __deepcopy__
    module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), body)


def _give_property(module: Module, name: str):
    def get(self) -> Tensor:
        parametrization = self.parametrizations[name]
        if not _Cache.depth:
            return parametrization()
        key = id(parametrization), name
        if key not in _Cache.values:
            _Cache.values[key] = parametrization()
        return _Cache.values[key]

    def set_(self, value: Tensor):
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, set_))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let the parameter or buffer `tensor_name` be what `parametrization` makes of it; -> the module.

    `parametrization.right_inverse(tensor)`, if there, says what to train so that the tensor has its present value
    (several tensors for a parametrisation of several); it also makes assignment possible. Several may be registered:
    each takes what the one before gave. ValueError if dtype or shape change, unless `unsafe`, or if there is no such
    tensor.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            value = getattr(module, tensor_name)
            made = parametrization(value)
            names = (f"module.{tensor_name}", f"parametrization(module.{tensor_name})")
            _check_same(made, value.dtype, value.shape, names)
            if hasattr(parametrization, "right_inverse"):
                _check_inverse(parametrization, made, value)
        module.parametrizations[tensor_name].append(parametrization)
        module.parametrizations[tensor_name].unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_own_class(module)
            module.parametrizations = ModuleDict()
        _give_property(module, tensor_name)
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def _check_inverse(parametrization: Module, made: Tensor, value: Tensor):
    back = parametrization.right_inverse(made)
    if not isinstance(back, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(back).__name__}")
    for kind in ("dtype", "shape"):
        if getattr(back, kind) != getattr(value, kind):
            raise ValueError(
                f"The tensor returned by parametrization.right_inverse must have the same {kind} as module.weight, "
                "unless `unsafe` flag is enabled.\n"
                f"module.weight {kind}: {getattr(value, kind)}\n"
                f"returned {kind}: {getattr(back, kind)}"
            )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrised tensors, or just this one."""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor a plain parameter again; -> the module.

    It keeps its present value with `leave_parametrized`, otherwise it is the original (ValueError if there are
    several).
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    if made.is_tensor:
        tensor = made.original
        if leave_parametrized:
            with no_grad():
                tensor.data = getattr(module, tensor_name).data
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        tensor = Parameter(value) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, tensor)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class before it was parametrised."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrise the tensors of `to_module` (or just one) as those of `from_module`, sharing originals; ->
    `to_module`.
    """
    if not is_parametrized(from_module):
        return to_module
    for name in from_module.parametrizations if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        source = from_module.parametrizations[name]
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        for table in ("_parameters", "_buffers"):
            for key, t in getattr(source, table).items():
                setattr(to_module.parametrizations[name], key, t)
    return to_module
