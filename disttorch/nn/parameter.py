"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from types import FunctionType

from ..autograd.variable import Tensor, wrap
from ..dispatch import disabled_torch_function, takes_over
from ..ops.creation import empty
from ..printing import tensor_repr
from ..tensor_methods import attributes_of


class _Marked(type(Tensor)):
    """The kind of classes whose instances are also tensors of other classes that bear the class's mark."""

    def __instancecheck__(cls, instance):
        mark = vars(cls).get("_mark")
        return super().__instancecheck__(instance) or (
            mark is not None and isinstance(instance, Tensor) and mark in instance.__dict__
        )


class Parameter(Tensor, metaclass=_Marked):
    """A tensor that modules train: assigned to a module, it appears among `parameters()`.

    It shares the memory of `data` (None: no elements) and is a leaf; it requires a gradient unless told otherwise, also
    inside `no_grad`. RuntimeError if `data` is neither floating nor complex and a gradient is required. Of data whose
    class takes functions over comes a tensor of that class, which is an instance of Parameter, too.
    """

    _mark = "_is_param"

    __torch_function__ = staticmethod(disabled_torch_function)

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True):
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter data must be a Tensor, not {type(data).__name__}")
        if requires_grad and not (data.dtype.is_floating_point or data.dtype.is_complex):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        if takes_over(data):
            return _marked(cls, data, requires_grad)
        self = _sharing(cls, data)
        self.requires_grad = requires_grad
        return self

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(_copied(self), self.requires_grad)
        return memo[id(self)]

    def __repr__(self):
        plain = type(self) is Parameter
        text = super().__repr__() if plain else f"Parameter({tensor_repr(self, type(self).__name__)})"
        return "Parameter containing:\n" + text

    def __reduce_ex__(self, protocol):
        return (_rebuild, (type(self), self.data, self.requires_grad, attributes_of(self)))


class Buffer(Tensor, metaclass=_Marked):
    """A tensor that is a module's state without being trained: assigned to a module, it is registered as a buffer.

    `persistent` says whether it is part of the module's `state_dict`. Classes are kept as by Parameter.
    """

    _mark = "_is_buffer"
    __torch_function__ = staticmethod(disabled_torch_function)

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True):
        if data is not None and takes_over(data):
            self = _marked(cls, data, data.requires_grad)
            self.persistent = persistent
            return self
        self = _sharing(cls, empty(0) if data is None else data)
        self.persistent = persistent
        self.requires_grad = data is not None and data.requires_grad
        return self

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = Buffer(_copied(self), persistent=self.persistent)
        return memo[id(self)]

    __reduce_ex__ = Parameter.__reduce_ex__


def _sharing(cls, data: Tensor) -> Tensor:
    return wrap(data._data, data.device, cls)


def _marked(kind, data: Tensor, requires_grad: bool) -> Tensor:
    """A leaf of the data's own class that bears the mark of `kind`."""
    made = data.detach().requires_grad_(requires_grad)
    if type(made) is not type(data):
        raise RuntimeError(
            f"Creating a {kind.__name__} from an instance of type {type(data).__name__} requires that detach() returns "
            f"an instance of the same type, but return type {type(made).__name__} was found instead. To use the type "
            f"as a {kind.__name__}, please correct the detach() semantics defined by its __torch_dispatch__() "
            "implementation."
        )
    setattr(made, kind._mark, True)
    return made


def _copied(t: Tensor) -> Tensor:
    return t.data.clone()


def _rebuild(cls, data: Tensor, requires_grad: bool, attributes: dict):
    self = _sharing(cls, data)
    self.requires_grad = requires_grad
    self.__dict__.update(attributes)
    return self


def is_lazy(param) -> bool:
    """Whether the parameter waits for its shape."""
    return isinstance(param, _Uninitialized)


class _Uninitialized:
    """A tensor whose shape is not known yet: `materialize` gives it one, everything else that needs one fails."""

    _becomes: type

    def materialize(self, shape, device=None, dtype=None):
        """Take memory for `shape` (uninitialised) on the device and in the dtype that it has, unless others are
        given.
        """
        made = empty(*shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = self._becomes
        self.data = made

    def share_memory_(self):
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    @property
    def shape(self):
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, device=self.device, dtype=self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return (_rebuild_lazy, (type(self), self.requires_grad, str(self.device), self.dtype))

    def __repr__(self):
        return f"<{type(self).__name__}>"


# What can be asked of a tensor without a shape; all other methods need one.
_SHAPELESS = """
materialize share_memory_ copy_ data_ptr detach clone requires_grad_ register_hook register_post_accumulate_grad_hook
retain_grad is_complex is_floating_point is_shared get_device to cpu cuda type half bfloat16 float double char short int
long bool as_subclass
""".split()


def _needs_shape(name: str):
    def refuse(self, *args, **kwargs):
        raise ValueError(
            f"Attempted to use an uninitialized parameter in <method '{name}' of 'torch._C.TensorBase' objects>. This "
            "error happens when you are using a `LazyModule` or explicitly manipulating "
            f"`torch.nn.parameter.{type(self).__name__}` objects. When using LazyModules Call `forward` with a dummy "
            "batch to initialize the parameters before calling torch functions"
        )

    return refuse


for _name, _method in vars(Tensor).items():
    if _name[0] != "_" and isinstance(_method, FunctionType) and _name not in _SHAPELESS:
        setattr(_Uninitialized, _name, _needs_shape(_name))


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape a lazy module learns from its first input."""

    _becomes = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        return Parameter.__new__(cls, empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape a lazy module learns from its first input."""

    _becomes = Tensor
    __torch_function__ = staticmethod(disabled_torch_function)

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        self = _sharing(cls, empty(0, device=device, dtype=dtype))
        self.persistent, self.requires_grad = persistent, requires_grad
        return self


def _rebuild_lazy(cls, requires_grad, device, dtype):
    return cls(requires_grad, device=device, dtype=dtype)
