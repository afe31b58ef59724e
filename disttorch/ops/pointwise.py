"""Machinery of the element-by-element operations: type promotion, scalars, devices, in-place forms and `out=`.

`unary` and `binary` turn a ufunc and its gradient formulas into a function of tensors. The common case (equal dtypes,
one device, no promotion) takes the short way.
"""

import warnings

import numpy as np

from .. import dtypes, meta
from ..autograd.inplace import apply_inplace, assign, check_inplace, check_partly_apart, write
from ..autograd.mode import mode
from ..autograd.op import Op, raise_devices
from ..autograd.variable import Tensor, counter, wrap
from ..devices import CPU, META, device, scope, to_device
from ..dtypes import BOOL, COMPLEX, FLOATING, FROM_NUMPY, INTEGER
from ..kernels import for_device
from ..kernels.hushing import hushed
from ..kernels.portable.precision import FLOAT, LONG, converted, in_float32, is_narrow
from .arguments import type_name

LARGE = 1 << 16  # elements from which a backend may have a quicker way than NumPy's
_COMBINING = np.add, np.subtract, np.multiply, np.true_divide  # for which it may
_NUMBERS = (bool, int, float, complex, np.generic)
# Sums, differences and products are too quick to pay for that: for them, infinities and NaNs are no warning either.
warnings.filterwarnings(
    "ignore", r"(overflow|underflow|invalid value|divide by zero) encountered", RuntimeWarning, r"disttorch\."
)


def result_dtype(*operands) -> dtypes.dtype:
    """PyTorch's promotion: tensors with dimensions win over 0-dimensional ones, these over Python numbers, unless of a
    lower kind.
    """
    best: list = [None, None, None]
    for x in operands:
        if isinstance(x, Tensor):
            rank, d = (0 if x._data.ndim else 1), FROM_NUMPY[x._data.dtype]
        else:
            rank, d = 2, dtypes.of_scalar(x)
        best[rank] = d if best[rank] is None else dtypes.promote_types(best[rank], d)
    result = None
    for d in best:
        if d is None:
            continue
        if result is None:
            result = d
        elif d.category == COMPLEX and result.category == FLOATING:
            result = result.to_complex()
        elif result.category == BOOL:
            result = dtypes.promote_types(result, d)
        elif d.category > result.category:
            result = d
    return result


def result_type(tensor1, tensor2) -> dtypes.dtype:
    """The dtype that arithmetic on two operands (tensors or numbers) has."""
    for position, x in enumerate((tensor1, tensor2), 1):
        if not isinstance(x, (Tensor, *_NUMBERS)):
            raise TypeError(
                f"result_type(): argument 'tensor{position}' (position {position}) must be Tensor, not "
                f"{type(x).__name__}"
            )
    return result_dtype(tensor1, tensor2)


def common_device(*operands) -> device:
    """The one device of the tensors; a 0-dimensional CPU tensor goes with any. RuntimeError for two devices."""
    found = None
    for x in operands:
        if isinstance(x, Tensor) and (x._data.ndim or x.device is not CPU):
            if found is None:
                found = x.device
            elif x.device is not found:
                raise_devices(found, x.device)
    return found or CPU


def cast_array(data, to: dtypes.dtype):
    """`data` with the element type `to`; complex to real drops the imaginary part, float to int wraps as C does."""
    if data.dtype == to.np:
        return data
    if data.dtype.kind == "c" and not to.is_complex and to.category != BOOL:
        data = data.real
    with np.errstate(all="ignore"):
        return converted(data, to.np)


def scalar_array(value, d: dtypes.dtype):
    """A Python number as a 0-dimensional array of dtype `d`; integers wrap around."""
    if d.category == INTEGER and isinstance(value, int) and not isinstance(value, bool):
        bits = 8 * d.itemsize
        value = (
            (int(value) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1) if d.is_signed else int(value) % (1 << bits)
        )
    return np.asarray(value, dtype=d.np)


def operand(x, d: dtypes.dtype, where: device):
    """An operand as an array of dtype `d` on `where`."""
    if not isinstance(x, Tensor):
        array = scalar_array(x, d)
        return array if where.host or where is META else array.item()
    data = x._data if x.device is where else to_device(x._data, x.device, where)
    return cast_array(data, d)


def scalar_name(t: Tensor) -> str:
    """Its dtype as PyTorch's error texts call it, e.g. "Float"."""
    return dtypes.SCALAR_NAMES[t.dtype]


def check_operands(name: str, x, y, numbers: str) -> None:
    """TypeError (PyTorch's text) unless both are tensors, or numbers where `numbers` ("any", "either", "other", "none")
    allows it.
    """
    allowed = {"any": "xy", "either": "xy", "other": "y", "none": ""}[numbers]
    if numbers != "any" and not isinstance(x, Tensor) and not isinstance(y, Tensor):
        allowed = ""
    for operand, letter, argument, position in ((x, "x", "input", 1), (y, "y", "other", 2)):
        if not isinstance(operand, Tensor) and not (letter in allowed and isinstance(operand, _NUMBERS)):
            raise TypeError(
                f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {type_name(operand)}"
            )


def refuse_operands(name: str, x, y, numbers: str):
    """The same for Python's operators: NotImplemented, so that Python asks the other operand, and complains itself.
    Arrays of numbers can be compared with == and !=.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"descriptor '__{name}__' for 'torch._C.TensorBase' objects doesn't apply to a '{type(x).__name__}' object"
        )
    try:
        check_operands(name, x, y, numbers)
    except TypeError:
        if name in ("eq", "ne") and isinstance(y, np.ndarray) and y.dtype.kind in "biufc":
            return getattr(x, name)(wrap(y))
        return NotImplemented
    return None


def broadcast_error(a: tuple, b: tuple) -> RuntimeError | None:
    """PyTorch's complaint about two shapes that do not broadcast, or None if they do."""
    if a == b:
        return None
    for i in range(-1, -min(len(a), len(b)) - 1, -1):
        if a[i] != b[i] and a[i] != 1 and b[i] != 1:
            at = max(len(a), len(b)) + i
            return RuntimeError(
                f"The size of tensor a ({a[i]}) must match the size of tensor b ({b[i]}) at non-singleton dimension "
                f"{at}"
            )
    return None


def _unsupported(name: str, wrong: Exception, a) -> NotImplementedError | None:
    """What PyTorch says of an element type that a ufunc (whose complaint is `wrong`) does not know."""
    if not isinstance(wrong, TypeError) or "ufunc" not in str(wrong):
        return None
    kernel = {"floor_divide": "div_floor"}.get(name, name)
    return NotImplementedError(f"\"{kernel}_cpu\" not implemented for '{dtypes.SCALAR_NAMES[FROM_NUMPY[a.dtype]]}'")


def _run(ufunc, where: device, *arrays):
    """Call the ufunc where its arrays live; a mismatch of shapes is told in PyTorch's words."""
    try:
        if where.host:
            return ufunc(*arrays)
        if where is META:
            return meta.pointwise(ufunc, *arrays)
        with scope(where):
            return ufunc(*arrays)
    except ValueError:
        shapes = [np.shape(a) for a in arrays]
        if len(shapes) == 2 and (error := broadcast_error(*shapes)) is not None:
            raise error from None
        raise


def binary(
    name: str, ufunc, *, x, y, floats=False, bools=True, result=None, node=None, numbers="other", once=False
):  # fmt: skip
    """A function of two tensors (or a tensor and a number).

    numbers which operand may be a Python number: "other", "either", "none", or "any", where both may
    floats  integers are computed in the default float dtype
    bools   False: booleans are refused, as in subtractions
    result  dtype of the result if not the operands' (comparisons give bool_)
    once    True: 16-bit floats meet a single second operand, a number above all, in float32, and are rounded once;
            else it is rounded first, which PyTorch does in all but products and quotients
    """
    wide, unwrapped = hushed(in_float32(ufunc)), _plain(ufunc)
    combines = unwrapped in _COMBINING

    @hushed
    def combined(a, b, out=None):
        return for_device("cpu").combined(unwrapped, a, b, out)

    op = Op(node or f"{name.capitalize()}Backward0", ufunc, params=("x", "y"), x=x, y=y)
    direct_kinds = "" if floats else "iucb" if bools else "iuc"  # beside floats: computed as they are
    plain = () if numbers == "none" else (float, int)

    def variant(check):
        def function(input, other, *, out=None):
            if isinstance(input, Tensor):
                a, where = input._data, input.device
                kind = a.dtype.kind
                wanted = input._rg or input._view is not None
                if isinstance(other, Tensor):
                    b = other._data
                    wanted = wanted or other._rg or other._view is not None
                    ready = a.dtype is b.dtype and where is other.device and (kind == "f" or kind in direct_kinds)
                else:
                    b = other
                    ready = kind == "f" and type(other) in plain and a.dtype.itemsize > 2 and where.host
            else:
                ready, wanted = False, True
            forward = ufunc
            if not ready:
                if (refusal := check(name, input, other, numbers)) is not None:
                    return refusal
                where, d = common_device(input, other), result_dtype(input, other)
                if floats and d.category < FLOATING:
                    d = dtypes.get_default_dtype()
                if not bools:
                    refuse_bools(input, other)
                a = operand(input, d, where)
                if once and is_narrow(d.np) and (not isinstance(other, Tensor) or other._data.size == 1):
                    b, forward = operand(other, dtypes.float32, where), wide
                else:
                    b = operand(other, d, where)
                    if d is dtypes.bfloat16 and where.host:
                        forward = combined
            if combines and where.host and (a.size >= LARGE or (type(b) is np.ndarray and b.size >= LARGE)):
                forward = combined if forward is ufunc and a.dtype is FLOAT else forward
            try:
                data = forward(a, b) if where.host else _run(forward, where, a, b)
            except (ValueError, TypeError) as wrong:
                error = broadcast_error(np.shape(a), np.shape(b)) or _unsupported(name, wrong, a)
                if error is None:
                    raise
                raise error from None
            t = wrap(data if type(data) is np.ndarray else np.asarray(data) if where.host else data, where)
            if wanted and result is None and mode.grad:
                op.record((t,), (input, other), ())
            return t if out is None else write(out, t, input, other)

        return function

    function = variant(check_operands)
    function.operator = variant(refuse_operands)

    for form in (function, function.operator):
        form.__name__ = form.__qualname__ = name
        form.op = op
    if result is None:
        function.inplace = _written_in_place(function, ufunc, combined if combines else None, plain, direct_kinds)
    else:
        function.inplace = inplace_of(function)
    return function


def _plain(ufunc):
    """What a wrapper that only hushes a ufunc wraps."""
    return getattr(ufunc, "__wrapped__", ufunc)


def _written_in_place(function, ufunc, combined, plain: tuple, direct_kinds: str):
    """The in-place form of a binary `function`, which writes into the tensor's memory where that is all there is to do.

    combined: what a backend has in the ufunc's place for large arrays of float32, or None; plain: the types of Python's
    numbers that are taken as they are; direct_kinds: the kinds of integer arrays that are computed as they are.
    """
    direct = isinstance(_plain(ufunc), np.ufunc)  # can write into an operand
    alike = "f" + direct_kinds  # kinds that are computed as they are where both operands have them

    def method(self, other):
        if self._root is not None:
            check_inplace(self)
            check_partly_apart(self, other)
        elif isinstance(other, Tensor) and other._root is self:
            check_partly_apart(self, other)
        a = self._data
        if (
            mode.grad and (self.requires_grad or (isinstance(other, Tensor) and other.requires_grad))
        ) or not self.device.host:
            return apply_inplace(function, self, (other,))
        if isinstance(other, Tensor):
            b = other._data
            fits = other.device is self.device and b.dtype is a.dtype and a.dtype.kind in alike
        else:
            b, kind = other, a.dtype.kind
            fits = kind == "f" and type(other) in plain and a.dtype.itemsize > 2
            counting = type(other) is int and int in plain and a.dtype == np.int64  # as a module counts its batches
            fits = fits or (counting and kind in direct_kinds)
        if not fits or not direct or not a.flags.writeable:
            return assign(self, function(self, other))
        try:
            if combined is not None and a.size >= LARGE and a.dtype is FLOAT:
                combined(a, b, a)
            else:
                ufunc(a, b, out=a)
        except ValueError:
            error = broadcast_error(a.shape, np.shape(b))
            raise error or RuntimeError(
                f"output with shape {list(a.shape)} doesn't match the broadcast shape "
                f"{list(np.broadcast_shapes(a.shape, np.shape(b)))}"
            ) from None
        counter(self)[0] += 1
        return self

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    return method


def refuse_bools(x, y) -> None:
    """RuntimeError for a boolean operand of a subtraction."""
    kinds = [t.dtype if isinstance(t, Tensor) else dtypes.of_scalar(t) for t in (x, y)]
    if kinds[0] is kinds[1] is dtypes.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead."
        )
    if dtypes.bool_ in kinds:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
            "use the `~` or `logical_not()` operator instead."
        )


def no_gradient(g):
    """Zeros, also where `g` is not finite."""
    return g.new_zeros(g._data.shape)


def unary(name: str, forward, *, x=None, floats=True, node=None, result=None):
    """A function of one tensor.

    forward takes an array; floats: integers are computed in the default float dtype; x: the gradient formula.
    """
    op = Op(node or f"{name.capitalize()}Backward0", forward, params=("x",), x=x or no_gradient)
    wide = in_float32(forward)

    def function(input, *, out=None):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type_name(input)}")
        a, where = input._data, input.device
        if a.dtype.kind not in "fc" and floats and FROM_NUMPY[a.dtype].category < FLOATING:
            a = a.astype(dtypes.get_default_dtype().np)
        compute = wide if a.dtype.kind == "V" and a.size >= LONG else forward
        data = compute(a) if where.host else _run(compute, where, a)
        t = wrap(data if type(data) is np.ndarray else np.asarray(data) if where.host else data, where)
        if (input._rg or input._view is not None) and result is None and mode.grad:
            op.record((t,), (input,), ())
        return t if out is None else write(out, t, input)

    function.__name__ = function.__qualname__ = name
    function.op = op
    function.inplace = inplace_of(function)
    return function


def inplace_of(function, check=check_partly_apart):
    """The in-place form of `function(self, ...)`; check(self, *tensors): whether they may share memory (None: they
    may).
    """

    def method(self, *args, **kwargs):
        return apply_inplace(function, self, args, kwargs, check)

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    return method


__all__ = ["result_type"]
