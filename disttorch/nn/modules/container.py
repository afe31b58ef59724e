"""Modules that hold modules or parameters: in sequence, as a list, as a dictionary."""

import operator
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice

from ...autograd.variable import Tensor
from ..parameter import Parameter
from .module import Module, indented, typename


def _position(index, length: int) -> int:
    """`index` counted from the start; IndexError if it is outside."""
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range")
    return index % length


class _Row(Module):
    """Modules under the names "0", "1", ..."""

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def _key(self, index) -> str:
        """The name at a position."""
        return next(islice(self._modules, _position(index, len(self)), None))

    def _fill(self, modules):
        """Take these modules, and no others."""
        self._modules.clear()
        self._modules.update((str(i), module) for i, module in enumerate(modules))

    def __delitem__(self, index):
        if isinstance(index, slice):
            for key in list(self._modules)[index]:
                delattr(self, key)
        else:
            delattr(self, self._key(index))
        self._fill(list(self._modules.values()))

    def append(self, module):
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module):
        """Add a module before the one at `index`."""
        modules = list(self)
        modules.insert(index, module)
        self._fill(modules)

    def pop(self, key):
        """Take the module at a position out, and return it."""
        module = self[key]
        del self[key]
        return module


class Sequential(_Row):
    """Modules called one after another, each with what the one before returned.

    Sequential(a, b) or Sequential(OrderedDict(name=a, ...)). Slices, `+` and `*` give a new Sequential.
    """

    def __init__(self, *args):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input):
        for module in self._modules.values():
            input = module(input)
        return input

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.__class__(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def __setitem__(self, index: int, module):
        setattr(self, self._key(index), module)

    def insert(self, index: int, module):
        """Add a module before the one at `index`, -len to len."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        super().insert(index + len(self) if index < 0 else index, module)
        return self

    def extend(self, sequential):
        """Add the modules of another at the end."""
        for module in list(sequential):
            self.append(module)
        return self

    def _other(self, other):
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return other

    def __add__(self, other):
        return Sequential(*self, *self._other(other))

    def __iadd__(self, other):
        return self.extend(self._other(other))

    def _times(self, n) -> int:
        if not isinstance(n, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(n)}")
        if n <= 0:
            raise ValueError(f"Non-positive multiplication factor {n} for {type(self)}")
        return n

    def __mul__(self, n: int):
        return Sequential(*(list(self) * self._times(n)))

    __rmul__ = __mul__

    def __imul__(self, n: int):
        return self.extend(list(self) * (self._times(n) - 1))


class ModuleList(_Row):
    """A list of modules that a module knows of; it has no forward."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        if modules is not None:
            self += modules

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.__class__(list(self)[index])
        return self._modules[str(_position(index, len(self)))]

    def __setitem__(self, index: int, module):
        setattr(self, str(_position(index, len(self))), module)

    def extend(self, modules: Iterable[Module]):
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def __iadd__(self, modules):
        return self.extend(modules)

    def __add__(self, other):
        return ModuleList([*self, *other])

    def __repr__(self):
        """Like modules repeated are shown once: (0-5): 6 x Linear(...)."""
        if not len(self):
            return self._get_name() + "()"
        runs: list[list] = []  # [first, last, text]
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [
            f"  ({a}): {indented(text)}" if a == b else f"  ({a}-{b}): {indented(f'{b - a + 1} x {text}')}"
            for a, b, text in runs
        ]
        return "\n".join([self._get_name() + "(", *lines, ")"])


class ModuleDict(Module):
    """A dictionary of modules that a module knows of; it has no forward."""

    def __init__(self, modules: Mapping[str, Module] | None = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module):
        self.add_module(key, module)

    def __delitem__(self, key: str):
        del self._modules[key]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, key):
        return key in self._modules

    def clear(self):
        """Take all modules out."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Take a module out, and return it."""
        return self._modules.pop(key)

    def keys(self):
        return self._modules.keys()

    def items(self):
        return self._modules.items()

    def values(self):
        return self._modules.values()

    def update(self, modules):
        """Take the modules of a mapping, or of pairs of a name and a module."""
        for key, module in _pairs("ModuleDict", modules):
            self[key] = module


def _pairs(name: str, given) -> list:
    """What `update` has been given, as pairs; TypeError and ValueError in PyTorch's words."""
    if not isinstance(given, Iterable):
        raise TypeError(
            f"{name}.update should be called with an iterable of key/value pairs, but got {type(given).__name__}"
        )
    if isinstance(given, Mapping | ModuleDict | ParameterDict):
        return list(given.items())
    pairs = []
    for i, pair in enumerate(given):
        if not isinstance(pair, Iterable):
            raise TypeError(f"{name} update sequence element #{i} should be Iterable; is{type(pair).__name__}")
        if len(pair) != 2:
            raise ValueError(f"{name} update sequence element #{i} has length {len(pair)}; 2 is required")
        pairs.append(tuple(pair))
    return pairs


def _as_parameter(value):
    """A tensor as a parameter; anything else as it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


class ParameterList(Module):
    """A list of parameters that a module knows of; tensors become parameters, other values are kept as they are."""

    def __init__(self, values: Iterable | None = None):
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def __len__(self):
        return self._size

    def __iter__(self):
        return iter(self[i] for i in range(len(self)))

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(len(self)))])
        return getattr(self, str(_position(index, len(self))))

    def __setitem__(self, index: int, value):
        setattr(self, str(_position(index, len(self))), _as_parameter(value))

    def append(self, value):
        """Add a value at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable):
        """Add values at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}")
        for value in values:
            self.append(value)
        return self

    def __iadd__(self, values):
        return self.extend(values)

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]

    def extra_repr(self):
        return "\n".join(f"  ({i}): {_shown(value, lambda t: t.dtype)}" for i, value in enumerate(self))

    def __call__(self, *args, **kwargs):
        raise RuntimeError("ParameterList should not be called.")


def _shown(value, kind_of) -> str:
    """A value of a ParameterList or ParameterDict, printed; `kind_of` names a tensor's type."""
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    where = f" ({value.device})" if value.is_cuda else ""
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(map(str, value.shape))
    return f"{kind} containing: [{kind_of(value)} of size {size}{where}]"


class ParameterDict(Module):
    """A dictionary of parameters that a module knows of; tensors become parameters, other values are kept as they
    are.
    """

    def __init__(self, parameters=None):
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _attribute(self, key) -> str:
        """The attribute's name for a key: a key that is an attribute already would hide it."""
        if not isinstance(key, str):
            raise TypeError(
                "Index given to ParameterDict cannot be used as a key as it is not a string (type is "
                f"'{type(key).__name__}'). Open an issue on github if you need non-string keys."
            )
        return key

    def __getitem__(self, key: str):
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value):
        self._keys[key] = None
        setattr(self, self._attribute(key), _as_parameter(value))

    def __delitem__(self, key: str):
        del self._keys[key]
        delattr(self, self._attribute(key))

    def __len__(self):
        return len(self._keys)

    def __iter__(self):
        return iter(self._keys)

    def __reversed__(self):
        return reversed(list(self._keys))

    def __contains__(self, key):
        return key in self._keys

    def keys(self):
        return self._keys.keys()

    def items(self):
        return ((k, self[k]) for k in self._keys)

    def values(self):
        return (self[k] for k in self._keys)

    def copy(self):
        """A ParameterDict with the same values."""
        return ParameterDict(OrderedDict(self.items()))

    def setdefault(self, key: str, default=None):
        """The value of `key`, which becomes `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self):
        """Take all values out."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str):
        """Take a value out, and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self):
        """Take the last pair of key and value out, and return it."""
        key, _ = self._keys.popitem()
        self._keys[key] = None
        return key, self.pop(key)

    def get(self, key: str, default=None):
        """The value of `key`, or `default`."""
        return self[key] if key in self else default  # noqa: SIM401  it is what is defined here

    def fromkeys(self, keys: Iterable[str], default=None):
        """A ParameterDict with these keys and one value."""
        return ParameterDict((k, default) for k in keys)

    def update(self, parameters):
        """Take the values of a mapping, or of pairs of a key and a value."""
        pairs = _pairs("ParameterDict", parameters)
        plain = isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict | ParameterDict)
        for key, value in sorted(pairs, key=lambda pair: pair[0]) if plain else pairs:
            self[key] = value

    def extra_repr(self):
        return "\n".join(f"  ({key}): {_shown(value, typename)}" for key, value in self.items())

    def __call__(self, input):
        raise RuntimeError("ParameterDict should not be called.")

    def __or__(self, other):
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other):
        made = other.copy()
        made.update(self)
        return made

    def __ior__(self, other):
        self.update(other)
        return self
