"""Tensor is given its methods: operations of `ops`, Python's operators, `tensor_methods` and `tensor_values`."""

from . import dtypes, ops
from .autograd.inplace import check_apart, check_history, check_partly_apart
from .autograd.variable import Tensor
from .ops.fill import NUMBERS
from .ops.pointwise import inplace_of
from .tensor_methods import TensorMethods
from .tensor_values import TensorValues

# Operations that are methods under their own name, with the tensor as first argument.
METHODS = """
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr all allclose amax amin aminmax angle any arccos
arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort argwhere as_strided as_strided_scatter asin asinh
atan atan2 atanh baddbmm bernoulli bernoulli_ bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or
bitwise_right_shift bitwise_xor bmm broadcast_to bucketize cauchy_ cdist ceil celu cholesky cholesky_inverse
cholesky_solve chunk clamp clamp_max clamp_min clip clone conj conj_physical contiguous copy_ copysign corrcoef cos cosh
count_nonzero cov cross cummax cummin cumprod cumsum deg2rad det detach detach_ diag diag_embed diagflat diagonal
diagonal_scatter diff digamma dist div divide dot dsplit eq equal erf erfc erfinv exp exp2 expand expand_as expm1
exponential_ fill_ fill_diagonal_ fix flatten flip fliplr flipud float_power floor floor_divide fmax fmin fmod frac
frexp gather gcd ge
geometric_ geqrf ger get_device greater greater_equal gt hardshrink heaviside histc histogram hsplit hypot i0 igamma
igammac index_add index_copy index_fill index_put index_reduce index_select inner inverse is_complex is_conj
is_floating_point is_inference is_neg is_nonzero is_same_size is_signed isclose isfinite isin isinf isnan isneginf
isposinf isreal istft kron kthvalue lcm ldexp le lerp less less_equal lgamma log log10 log1p log2 log_normal_
log_softmax logaddexp logaddexp2 logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logsumexp lt
lu lu_solve masked_fill masked_scatter masked_select matmul matrix_exp matrix_power max maximum mean median min minimum
mm mode moveaxis movedim msort mul multinomial multiply mv mvlgamma nan_to_num nanmean nanmedian nanquantile nansum
narrow narrow_copy ne neg negative nextafter nonzero norm normal_ not_equal numel orgqr ormqr outer permute pinverse
positive pow prelu prod put qr quantile rad2deg random_ ravel real reciprocal relu remainder renorm repeat
repeat_interleave reshape reshape_as resize_as_ resolve_conj resolve_neg roll rot90 round rsqrt scatter scatter_add
scatter_reduce searchsorted select select_scatter sgn sigmoid sign signbit sin sinc sinh slice_scatter slogdet softmax
sort split split_with_sizes sqrt square squeeze std stft sub subtract sum sum_to_size svd swapaxes swapdims t take
take_along_dim tan tanh tensor_split tile to topk trace transpose triangular_solve tril triu true_divide trunc unbind
unflatten unfold uniform_ unique unique_consecutive unsafe_chunk unsafe_split unsqueeze var vdot view view_as
view_as_complex view_as_real vsplit xlogy zero_
""".split()

# Methods with an in-place form `<name>_`.
INPLACE = """
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr arccos arccosh arcsin arcsinh arctan arctan2
arctanh asin asinh atan atan2 atanh baddbmm bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
bitwise_xor ceil celu clamp clamp_max clamp_min clip conj_physical copysign cos cosh cumprod cumsum deg2rad digamma
div divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmod frac gcd ge greater greater_equal
gt heaviside hypot i0 igamma igammac index_add index_copy index_fill index_put index_reduce lcm ldexp le lerp less
less_equal lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt masked_fill
masked_scatter mul multiply mvlgamma nan_to_num ne neg negative nextafter not_equal polygamma pow put rad2deg
reciprocal relu remainder renorm round rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh sqrt
square sub subtract tan tanh tril triu true_divide trunc xlogy
""".split()

# Of these, those whose operands may share no memory at all with the tensor, and those for which that does not matter.
BY_INDEX = """
index_add index_copy index_fill index_put index_reduce put scatter scatter_add scatter_reduce
""".split()
SHARING = ["addbmm", "addmm", "addmv", "baddbmm", "masked_scatter"]

# In-place operations that only rearrange: the tensor becomes another view of its own memory.
REARRANGING = ["as_strided", "squeeze", "swapaxes", "swapdims", "t", "transpose", "unsqueeze"]


def _bind(name: str, function) -> None:
    setattr(Tensor, name, function)


for _name in METHODS:
    _bind(_name, getattr(ops, _name))
for _name in INPLACE:
    _function = getattr(ops, _name)
    _check = check_apart if _name in BY_INDEX else None if _name in SHARING else check_partly_apart
    _bind(_name + "_", getattr(_function, "inplace", None) or inplace_of(_function, _check))


def _rearranged(function):
    def method(self, *args, **kwargs):
        check_history(self)
        made = function(self, *args, **kwargs)
        self._data, self._rg, self._node, self._nr = made._data, made._rg, made._node, made._nr
        return self

    method.__name__ = function.__name__ + "_"
    return method


for _name in REARRANGING:
    _bind(_name + "_", _rearranged(getattr(ops, _name)))


def _reflected(name: str, function):
    def method(self, other):
        if not isinstance(self, Tensor):
            raise TypeError(
                f"descriptor '{name}' for 'torch._C.TensorBase' objects doesn't apply to a '{type(self).__name__}' "
                "object"
            )
        return function(self, other)

    method.__name__ = method.__qualname__ = name
    return method


def operator(function, numbers=NUMBERS):
    """What Python's operators call: NotImplemented where the function does not know the other operand's type."""

    def method(self, other):
        try:
            return function(self, other)
        except TypeError:
            if isinstance(other, (Tensor, *numbers)):
                raise
            return NotImplemented

    method.__name__ = method.__qualname__ = function.__name__
    return method


class _Operators:
    """What Python's operators and brackets call."""

    __getitem__, __setitem__ = ops.getitem, ops.setitem
    __add__ = __radd__ = ops.sums._add.operator
    __sub__, __rsub__ = ops.sums._sub.operator, ops.sums._rsub.operator
    __mul__ = __rmul__ = ops.mul.operator
    __truediv__ = ops.arithmetic._true_div.operator
    __floordiv__, __mod__ = ops.floor_divide.operator, ops.remainder.operator
    __pow__, __matmul__ = operator(ops.pow), operator(ops.matmul, ())
    __neg__, __pos__, __abs__ = ops.neg, ops.positive, ops.abs
    __eq__, __ne__, __lt__ = ops.eq.operator, ops.ne.operator, ops.lt.operator
    __le__, __gt__, __ge__ = ops.le.operator, ops.gt.operator, ops.ge.operator
    __and__, __or__ = ops.bitwise_and.operator, ops.bitwise_or.operator
    __xor__ = ops.bitwise_xor.operator
    __lshift__, __rshift__ = ops.bitwise_left_shift.operator, ops.bitwise_right_shift.operator

    __rand__ = _reflected("__rand__", ops.bitwise_and.operator)
    __ror__ = _reflected("__ror__", ops.bitwise_or.operator)
    __rxor__ = _reflected("__rxor__", ops.bitwise_xor.operator)

    def __invert__(self):
        if self._data.dtype.kind in "fcV":
            raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
        return ops.bitwise_not(self)

    def __rlshift__(self, other):
        return ops.bitwise_left_shift(other, self)

    def __rrshift__(self, other):
        return ops.bitwise_right_shift(other, self)

    __rdiv__ = __rtruediv__ = operator(lambda self, other: self.reciprocal().mul(other))
    __rfloordiv__ = operator(lambda self, other: ops.floor_divide(other, self))
    __rmod__ = operator(lambda self, other: ops.remainder(other, self))
    __rpow__ = operator(lambda self, other: ops.pow(other, self))
    __rmatmul__ = operator(lambda self, other: ops.matmul(other, self), ())
    __hash__ = object.__hash__


def _conversion(dtype):
    def method(self, memory_format=None):
        return ops.to(self, dtype)

    method.__doc__ = f"The tensor as {dtype}."
    return method


for _method, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
    "bool": dtypes.bool_, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}.items():  # fmt: skip
    _bind(_method, _conversion(_dtype))


def _made_like(make):
    """The method that makes a tensor of given sizes, of this one's dtype and on its device."""

    def method(self, *size, dtype=None, device=None, **named):
        return make(*size, dtype=dtype or self.dtype, device=device or self.device, **named)

    method.__name__ = method.__qualname__ = f"new_{make.__name__}"
    return method


for _make in ops.empty, ops.zeros, ops.ones:
    _bind(f"new_{_make.__name__}", _made_like(_make))

for _holder in TensorMethods, TensorValues, _Operators:
    for _name, _value in vars(_holder).items():
        if _name not in ("__module__", "__dict__", "__weakref__", "__doc__"):
            _bind(_name, _value)

for _symbol, _name in {
    "add": "add_", "sub": "sub_", "mul": "mul_", "truediv": "div_", "floordiv": "floor_divide_", "mod": "remainder_",
    "pow": "pow_", "and": "bitwise_and_", "or": "bitwise_or_", "xor": "bitwise_xor_",
    "lshift": "bitwise_left_shift_", "rshift": "bitwise_right_shift_",
}.items():  # fmt: skip
    _bind(f"__i{_symbol}__", getattr(Tensor, _name))

Tensor.__module__ = "torch"
__all__ = ["Tensor"]
