"""Module: parameters, buffers and modules by name, and a forward."""

from ...autograd.variable import Tensor
from ..parameter import Buffer, Parameter
from .conversions import Conversions
from .hooks import (  # noqa: F401  programs look for the global hooks here
    Hooks,
    call_with_hooks,
    everywhere,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from .state import State, _IncompatibleKeys  # noqa: F401  programs look for it here too

# What every module has from the start, beside `training`.
TABLES = [
    "_parameters",
    "_buffers",
    "_modules",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_hooks_in_place",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks_with_module",
    "_load_state_dict_post_hooks",
]
_hooks_everywhere = everywhere.calls


class Module(Hooks, State, Conversions):
    """Base of all layers and networks; a subclass makes its parts in `__init__` and computes in `forward`.

    Parameters, modules and buffers become part of it by assignment to an attribute. `module(x)` runs `forward(x)` and
    the hooks. Attribute `training` says whether the module is in training mode.
    """

    training: bool
    dump_patches = False
    call_super_init = False
    _version = 1  # of the layout of its state_dict
    _is_full_backward_hook: bool | None = None  # None: no backward hook yet

    def __init__(self, *args, **kwargs):
        if not self.call_super_init:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
                )
        mine = self.__dict__
        mine["training"] = True
        for name in TABLES:
            mine[name] = {}
        mine["_non_persistent_buffers_set"] = set()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input):
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args, **kwargs):
        if (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or _hooks_everywhere
        ):
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def compile(self, *args, **kwargs):
        """Accepted for PyTorch's sake; the module runs as it is."""

    # -- attributes ---------------------------------------------------------------------------------------------------
    def __getattr__(self, name: str):
        mine = self.__dict__
        if "_modules" in mine:
            for table in (mine["_parameters"], mine["_modules"], mine["_buffers"]):
                if name in table:
                    return table[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value):
        mine = self.__dict__
        parameters, modules, buffers = mine.get("_parameters"), mine.get("_modules"), mine.get("_buffers")
        if isinstance(value, Parameter):
            self._need_init(parameters, "parameters")
            self._drop(name, mine, buffers, modules, self._non_persistent_buffers_set)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif isinstance(value, Module):
            self._need_init(modules, "module")
            self._drop(name, mine, parameters, buffers, self._non_persistent_buffers_set)
            modules[name] = registered(everywhere.module, self, name, value)
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            modules[name] = registered(everywhere.module, self, name, value)
        elif isinstance(value, Buffer):
            self._need_init(buffers, "buffer")
            self._drop(name, mine, parameters, modules, buffers)
            self.register_buffer(name, value, value.persistent)
        elif buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{typename(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None "
                    "expected)"
                )
            buffers[name] = registered(everywhere.buffer, self, name, value)
        else:
            object.__setattr__(self, name, value)

    @staticmethod
    def _need_init(table, what: str):
        if table is None:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")

    @staticmethod
    def _drop(name: str, *tables):
        for table in tables:
            if name in table:
                table.discard(name) if isinstance(table, set) else table.pop(name)

    def __delattr__(self, name: str):
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self):
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if not name[0].isdigit())

    def __setstate__(self, state: dict):
        self.__dict__.update(state)
        for name in TABLES:  # a module that an older version saved
            self.__dict__.setdefault(name, {})

    # -- registration -------------------------------------------------------------------------------------------------
    def register_parameter(self, name: str, param: Parameter | None):
        """Make `param` a parameter under `name`; None reserves the name. KeyError, TypeError, ValueError as
        PyTorch's.
        """
        self._need_init(self.__dict__.get("_parameters"), "parameter")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' (torch.nn.Parameter or None "
                    "required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                    f"explicitly. To express '{name}' as a function of another Tensor, compute the value in the "
                    "forward() method."
                )
            param = registered(everywhere.parameter, self, name, param)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True):
        """Make `tensor` state that is not trained under `name`; part of the state_dict if `persistent`."""
        self._need_init(self.__dict__.get("_buffers"), "buffer")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = registered(everywhere.buffer, self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: "Module | None"):
        """Make `module` a child under `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = registered(everywhere.module, self, name, module)

    register_module = add_module

    def _check_name(self, what: str, name: str, table: dict):
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {typename(name)}")
        if name not in table and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain "."' + (f", got: {name}" if what == "module" else ""))
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')

    # -- by dotted name -----------------------------------------------------------------------------------------------
    def get_submodule(self, target: str) -> "Module":
        """The module that is reached by the dotted name `target` ("" is the module itself); AttributeError
        otherwise.
        """
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: "Module", strict: bool = False):
        """Put `module` at the dotted name `target`; strict: AttributeError unless a module is there already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if hasattr(parent, name):
            if not isinstance(getattr(parent, name), Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        elif strict:
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with the dotted name `target`; AttributeError if there is none."""
        return self._get(target, lambda module, name, value: isinstance(value, Parameter), "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with the dotted name `target`; AttributeError if there is none."""
        return self._get(target, lambda module, name, value: name in module._buffers, "a buffer")

    def _get(self, target: str, fits, what: str):
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        value = getattr(module, name)
        if not fits(module, name, value):
            raise AttributeError(f"`{name}` is not {what}")
        return value

    # -- all of them --------------------------------------------------------------------------------------------------
    def named_modules(self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True):
        """(name, module) of this module ("") and all below it, each once unless `remove_duplicate` is False."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, below, remove_duplicate)

    def modules(self):
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self):
        """(name, module) of the modules directly below this one."""
        memo = set()
        for name, module in self._modules.items():
            if module is not None and module not in memo:
                memo.add(module)
                yield name, module

    def children(self):
        """The modules directly below this one."""
        for _, module in self.named_children():
            yield module

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True):
        """(dotted name, parameter) of this module and, with `recurse`, of all below it."""
        yield from self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True):
        """The parameters, each once; an optimizer takes them."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True):
        """(dotted name, buffer) of this module and, with `recurse`, of all below it."""
        yield from self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True):
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _named_members(self, get_members_fn, prefix="", recurse=True, remove_duplicate=True):
        memo = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in get_members_fn(module):
                if value is None or value in memo:
                    continue
                if remove_duplicate:
                    memo.add(value)
                yield f"{path}.{name}" if path else name, value

    # -- modes --------------------------------------------------------------------------------------------------------
    def train(self, mode: bool = True):
        """Training mode (or, with False, evaluation) for this module and all below it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Evaluation mode: dropout passes everything, batch norm uses its running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        """Whether autograd watches the parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True):
        """Forget all parameters' gradients, or fill them with zeros."""
        for p in self.parameters():
            if p.grad is not None:
                if set_to_none:
                    p.grad = None
                else:
                    p.grad.detach_() if p.grad.grad_fn is not None else p.grad.requires_grad_(False)
                    p.grad.zero_()

    def apply(self, fn):
        """Call `fn(module)` for all modules below this one, then for this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- printed form -------------------------------------------------------------------------------------------------
    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the printed form, beside the modules."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + indented(repr(module)) for name, module in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        body = "\n  ".join(lines + children)
        return f"{self._get_name()}(\n  {body}\n)" if body else f"{self._get_name()}()"


def indented(text: str) -> str:
    """The lines after the first moved in by two columns."""
    return text.replace("\n", "\n  ")


def _addindent(s_: str, numSpaces: int) -> str:
    """The lines after the first moved in, as programs print modules of their own."""
    first, *others = s_.split("\n")
    return "\n".join([first, *[" " * numSpaces + line if line.strip() else "" for line in others]])


def typename(value) -> str:
    """The name of a tensor's type, a class or a value's class, as PyTorch's errors give it (torch.typename)."""
    if isinstance(value, Tensor):
        return value.type()
    named = value if hasattr(value, "__qualname__") else type(value)
    home = getattr(named, "__module__", None)
    return named.__qualname__ if home in (None, "builtins") else f"{home}.{named.__qualname__}"
