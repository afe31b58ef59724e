"""assert_close: PyTorch's tolerances by dtype, and its account of where two tensors differ."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import dtypes, ops
from ..autograd.variable import Tensor

_TOLERANCES = {  # dtype -> (rtol, atol), PyTorch's
    dtypes.float16: (1e-3, 1e-5), dtypes.bfloat16: (1.6e-2, 1e-5), dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7), dtypes.complex64: (1.3e-6, 1e-5), dtypes.complex128: (1e-7, 1e-7),
}  # fmt: skip


def default_tolerances(*found: dtypes.dtype, known: Mapping = _TOLERANCES) -> tuple[float, float]:
    """(rtol, atol) for comparing values of these dtypes: the widest of each."""
    pairs = [known.get(d, (0.0, 0.0)) for d in found]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Any = None,
) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol * |expected| for every element.

    Tensors, arrays, numbers, and sequences and mappings of them. The tolerances depend on the dtype unless both are
    given. `msg` takes the place of the message, or is called with it.
    """
    if (rtol is None) != (atol is None):
        raise ValueError(
            "Either both 'rtol' and 'atol' or none of them must be specified, but got "
            f"{'no rtol' if rtol is None else f'rtol={rtol}'} and {'no atol' if atol is None else f'atol={atol}'}."
        )
    checks = {"device": check_device, "dtype": check_dtype, "stride": check_stride}
    problem = _difference(actual, expected, rtol, atol, equal_nan, checks, "")
    if problem is not None:
        raise AssertionError(msg(problem) if callable(msg) else msg or problem)


_AS_OF_OLD = {dtypes.float16: (1e-3, 1e-3), dtypes.float32: (1e-4, 1e-5), dtypes.float64: (1e-5, 1e-8)}


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """assert_close's predecessor: dtypes may differ, NaN equals NaN, and what is no tensor becomes one."""
    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. Please "
        "use `torch.testing.assert_close()` instead.",
        FutureWarning,
        stacklevel=2,
    )
    actual = actual if isinstance(actual, Tensor) else ops.tensor(actual)
    expected = expected if isinstance(expected, Tensor) else ops.tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        rtol, atol = default_tolerances(actual.dtype, expected.dtype, known=_AS_OF_OLD)
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def _difference(a: Any, b: Any, rtol, atol, equal_nan: bool, checks: dict, where: str) -> str | None:
    """What is different, or None."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            return (
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {sorted(set(b) - set(a))}\n"
                f"Missing keys in the expected mapping: {sorted(set(a) - set(b))}"
            )
        pairs = [(a[k], b[k], f"{where}[{k!r}]") for k in b]
    elif _is_sequence(a) and _is_sequence(b):
        if len(a) != len(b):
            return f"The length of the sequences mismatch: {len(a)} != {len(b)}"
        pairs = [(x, y, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True))]
    elif a is None and b is None:
        return None
    else:
        return _tensors_differ(a, b, rtol, atol, equal_nan, checks, where)
    return next(
        (d for x, y, w in pairs if (d := _difference(x, y, rtol, atol, equal_nan, checks, w)) is not None), None
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _tensors_differ(a: Any, b: Any, rtol, atol, equal_nan: bool, checks: dict, where: str) -> str | None:
    numbers = not isinstance(a, Tensor) and not isinstance(b, Tensor) and np.isscalar(a) and np.isscalar(b)
    if not numbers and type(a) is not type(b) and not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return (
            "Except for (complex) number types, type equality is required if allow_subclasses=False, but got "
            f"{type(a)} and {type(b)}."
        )
    x, y = (
        t if isinstance(t, Tensor) else ops.tensor(t, dtype=dtypes.float64 if isinstance(t, float) else None)
        for t in (a, b)
    )
    at = f"\n\nThe failure occurred for item {where}" if where else ""
    if x.shape != y.shape:
        return f"The values for attribute 'shape' do not match: {x.shape} != {y.shape}.{at}"
    if checks["device"] and x.device is not y.device:
        return f"The values for attribute 'device' do not match: {x.device} != {y.device}.{at}"
    if checks["dtype"] and x.dtype is not y.dtype and not numbers:
        return f"The values for attribute 'dtype' do not match: {x.dtype} != {y.dtype}.{at}"
    if checks["stride"] and x.stride() != y.stride():
        return f"The values for attribute 'stride()' do not match: {x.stride()} != {y.stride()}.{at}"
    if rtol is None:
        rtol, atol = default_tolerances(x.dtype, y.dtype)
    wide = dtypes.promote_types(x.dtype, y.dtype)
    x, y = (t.detach().cpu().to(wide) for t in (x, y))
    p, q = (t.to(_precise(wide))._data for t in (x, y))
    with np.errstate(all="ignore"):
        close = np.isclose(p, q, rtol=rtol, atol=atol, equal_nan=equal_nan)
        if close.all():
            return None
        absolute = ops.abs(x - y) if wide is not dtypes.bool_ else x ^ y
        relative = absolute / ops.abs(y if wide is not dtypes.bool_ else y.to(dtypes.int64))
    return _account(close, *(np.asarray(t.tolist()) for t in (absolute, relative)), p, q, rtol, atol, x.dim() == 0) + at


def _precise(d: dtypes.dtype) -> dtypes.dtype:
    return dtypes.float64 if d.is_floating_point else dtypes.complex128 if d.is_complex else dtypes.int64


def _account(close, absolute, relative, p, q, rtol: float, atol: float, numbers: bool) -> str:
    what = "Scalars" if numbers else "Tensor-likes"
    equal = rtol == atol == 0
    head = f"{what} are not {'equal' if equal else 'close'}!"
    allowed = ("" if equal else f" (up to {atol} allowed)", "" if equal else f" (up to {rtol} allowed)")
    if numbers:
        return (
            f"{head}\n\nExpected {q.item()} but got {p.item()}.\nAbsolute difference: {absolute.item()}{allowed[0]}\n"
            f"Relative difference: {relative.item()}{allowed[1]}"
        )
    wrong = int((~close).sum())
    absolute, relative = (np.where(close, -1, d) for d in (absolute, relative))  # NaN counts as greatest
    spots = [tuple(map(int, np.unravel_index(int(d.argmax()), d.shape))) for d in (absolute, relative)]
    return (
        f"{head}\n\nMismatched elements: {wrong} / {close.size} ({100 * wrong / close.size:.1f}%)\n"
        f"Greatest absolute difference: {absolute[spots[0]].item()} at index {spots[0]}{allowed[0]}\n"
        f"Greatest relative difference: {relative[spots[1]].item()} at index {spots[1]}{allowed[1]}"
    )


def make_tensor(
    *shape, dtype, device=None, low=None, high=None, requires_grad=False, noncontiguous=False, exclude_zero=False
):
    """A tensor of random values between low and high (by default -9 to 9, bools and unsigned from 0)."""
    size = ops.shape.sizes(shape)
    low = (0 if not dtype.is_signed else -9) if low is None else low
    high = (2 if dtype is dtypes.bool_ else 9) if high is None else high
    if dtype.is_floating_point or dtype.is_complex:
        made = ops.rand(size, dtype=dtype.to_real(), device=device) * (high - low) + low
        made = ops.complex(made, ops.rand_like(made) * (high - low) + low) if dtype.is_complex else made
    else:
        made = ops.randint(int(low), int(high), size, dtype=dtype, device=device)
    if exclude_zero:
        made = made.masked_fill(made == 0, 1)
    if noncontiguous and made.numel() > 1:
        made = made.repeat_interleave(2, dim=-1)[..., ::2]
    return made.detach().requires_grad_(requires_grad)
