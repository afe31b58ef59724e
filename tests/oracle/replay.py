"""Replays PyTorch's own sample inputs (torch.testing's op_db) against disttorch and tells where the two differ.

result = replay(op, limit=10)         # one entry of op_db
result.failures                       # [] if every sample agrees: values, dtypes, shapes, gradients, in-place, errors
"""

import contextlib
import functools
import itertools
import types
import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.testing._internal import common_methods_invocations

import disttorch
import disttorch.random
from disttorch.autograd.gradcheck import gradcheck
from disttorch.autograd.gradients import grad
from disttorch.autograd.variable import wrap

from .exact import Exact, as_near

SEED = 1234
# (relative, absolute); float64's are those of torch.testing.assert_close, float32's allow for another order of
# summation.
TOLERANCE = {
    "float64": (1e-7, 1e-7), "complex128": (1e-7, 1e-7), "float32": (5e-5, 2e-5), "complex64": (5e-5, 2e-5),
    "float16": (2e-3, 1e-3), "bfloat16": (2e-2, 1e-2),
}  # fmt: skip
UNDEFINED_VALUES = {
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "resize_",
    "resize_as_",
}
WRONG_GRADIENTS = {"as_strided_scatter"}  # PyTorch's; its own tests of them are expected to fail. Ours must be right
EXTRA_DTYPES = (
    torch.complex64,
    torch.complex128,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
    torch.bfloat16,
    torch.float16,
)


class Missing(Exception):
    """disttorch has no such operation."""


@dataclass
class Result:
    name: str
    samples: int = 0
    errors: int = 0  # error inputs that were replayed
    missing: bool = False
    failures: list[str] = field(default_factory=list)
    wordings: list[str] = field(default_factory=list)  # errors of the right type with another text

    @property
    def equal(self) -> bool:
        return not self.missing and not self.failures and self.samples > 0


def full_name(op) -> str:
    return op.name + (f".{op.variant_test_name}" if op.variant_test_name else "")


def all_ops() -> dict:
    return {full_name(op): op for op in common_methods_invocations.op_db}


# -- from PyTorch's values to ours ------------------------------------------------------------------------------------
class Converter:
    """Converts arguments; one PyTorch tensor always becomes the same tensor of ours, and shared memory stays shared."""

    def __init__(self):
        self.pairs: dict[int, tuple] = {}
        self.storages: dict[int, np.ndarray] = {}

    def __call__(self, value):
        if isinstance(value, torch.Tensor):
            if id(value) not in self.pairs:
                self.pairs[id(value)] = (value, tensor_from(value, self.storages))
            return self.pairs[id(value)][1]
        if isinstance(value, torch.dtype):
            return getattr(disttorch, str(value).removeprefix("torch."))
        if isinstance(value, torch.device):
            return disttorch.device(str(value))
        if isinstance(value, torch.memory_format):
            return getattr(disttorch, str(value).removeprefix("torch."))
        if isinstance(value, torch.layout):
            return getattr(disttorch, str(value).removeprefix("torch."), str(value))
        if isinstance(value, torch.Size):
            return disttorch.Size(value)
        if isinstance(value, tuple | list):
            made = [self(v) for v in value]
            return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items()}
        if isinstance(value, torch.nn.Module):  # one without parameters: its settings are all there is
            made = getattr(disttorch.nn, type(value).__name__)()
            vars(made).update({k: v for k, v in vars(value).items() if not k.startswith("_")})
            return made
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        return value


def array_from(t: torch.Tensor, storages: dict) -> np.ndarray:
    """A copy of a tensor's whole storage (one for each), and the view of it that the tensor is (same strides,
    offset).
    """
    t = t.detach().resolve_conj().resolve_neg()
    d = getattr(disttorch, str(t.dtype).removeprefix("torch."))
    whole = torch.empty(0, dtype=torch.uint8).set_(t.untyped_storage()).clone()  # NumPy would freeze the storage's size
    flat = storages.setdefault(t.untyped_storage().data_ptr(), whole.numpy()).view(d.np)
    strides = tuple(s * d.itemsize for s in t.stride())
    return np.lib.stride_tricks.as_strided(flat[t.storage_offset() :], tuple(t.shape), strides)


def tensor_from(t: torch.Tensor, storages: dict):
    if t.layout != torch.strided or t.device.type != "cpu":
        raise Missing(f"layout {t.layout} on {t.device}")
    if t.ndim > 64:
        raise Missing("more dimensions than NumPy has")
    out = wrap(array_from(t, storages))
    return out.requires_grad_() if t.requires_grad else out


# -- the function of the same name ------------------------------------------------------------------------------------
def _seeded(function, *args, **kwargs):
    disttorch.random.manual_seed(42)
    return function(*args, **kwargs)


def _translated(function):
    """op_db's own lambda, or a partial of a function of torch.nn.functional, with disttorch in PyTorch's place; else
    None.
    """
    if isinstance(function, functools.partial) and function.func.__module__ == "torch.nn.functional":
        mine = getattr(disttorch.nn.functional, function.func.__name__)
        return functools.partial(mine, *function.args, **function.keywords)
    if isinstance(function, types.FunctionType) and function.__module__.startswith("torch.testing"):
        scope = {**function.__globals__, "torch": disttorch, "wrapper_set_seed": _seeded}
        made = types.FunctionType(
            function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
        )
        made.__kwdefaults__ = function.__kwdefaults__
        return made
    return None


def function_of(op):
    """What disttorch calls the operation: op_db's own lambda with disttorch in PyTorch's place, or the function of that
    name.
    """
    if (made := _translated(op.op)) is not None:
        return made
    of_tensors = isinstance(op.op, types.MethodDescriptorType) or "Tensor" in getattr(op.op, "__qualname__", "")
    roots = (disttorch.Tensor, disttorch) if of_tensors else (disttorch, disttorch.Tensor)
    for root in (*roots, disttorch.ops.aten):
        with contextlib.suppress(AttributeError, ModuleNotFoundError):
            return functools.reduce(getattr, op.name.removeprefix("torch.").split("."), root)
    raise Missing(op.name)


# -- comparison -------------------------------------------------------------------------------------------------------
def flatten(value) -> list:
    if isinstance(value, tuple | list) and type(value).__name__ not in ("Size",):
        return [leaf for v in value for leaf in flatten(v)]
    return [value]


def array_of(t) -> np.ndarray:
    """The elements of a tensor of either library as NumPy computes them."""
    if isinstance(t, torch.Tensor):
        t = t.detach().resolve_conj().resolve_neg()
        return (t.float() if t.dtype == torch.bfloat16 else t).numpy(force=True)
    return t._data.astype(np.float32) if t.dtype is disttorch.bfloat16 else t._data


def difference(ours, theirs, what: str, undefined: bool = False, exact=None) -> str | None:
    """What differs between two results, in words, or None. `exact` gives the results that decide about rounding."""
    left, right = flatten(ours), flatten(theirs)
    if len(left) != len(right):
        return f"{what}: {len(left)} results instead of {len(right)}"
    for nr, (a, b) in enumerate(zip(left, right, strict=True)):
        where = what if len(right) == 1 else f"{what} {nr}"
        if not isinstance(b, torch.Tensor):
            if isinstance(a, disttorch.Tensor) or _plain(a) != _plain(b):
                return f"{where}: {a!r} instead of {b!r}"
            continue
        if not isinstance(a, disttorch.Tensor):
            return f"{where}: {type(a).__name__} instead of a tensor"
        if a.dtype.name != str(b.dtype).removeprefix("torch."):
            return f"{where}: dtype {a.dtype} instead of {b.dtype}"
        if tuple(a.shape) != tuple(b.shape):
            return f"{where}: shape {tuple(a.shape)} instead of {tuple(b.shape)}"
        if not undefined and (text := _unequal(array_of(a), array_of(b), a.dtype.name)):
            if exact is not None and (best := exact()) is not None and _near(a, b, flatten(best)[nr]):
                continue
            return f"{where}: {text}"
    return None


def _near(a, b, exact) -> bool:
    ours, theirs, right = array_of(a), array_of(b), array_of(exact)
    return not _unequal(ours.astype(right.dtype), right, a.dtype.name) or as_near(ours, theirs, right)


def _plain(value):
    return tuple(value) if isinstance(value, tuple | list) else str(value) if isinstance(value, torch.dtype) else value


def _unequal(a: np.ndarray, b: np.ndarray, dtype: str) -> str | None:
    if dtype not in TOLERANCE:
        return None if np.array_equal(a, b) else f"values differ at {int((a != b).sum())} of {a.size} places"
    rtol, atol = TOLERANCE[dtype]
    with np.errstate(all="ignore"):
        same = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    if same.all():
        return None
    at = tuple(i[0] for i in np.nonzero(~np.atleast_1d(same)))
    first = f"{np.atleast_1d(a)[at]} instead of {np.atleast_1d(b)[at]}"
    return f"values differ at {int((~same).sum())} of {a.size} places: {first}"


def _zero_or(g, like):
    return torch.zeros_like(like) if g is None else g


def gradients_differ(ours, theirs, pairs: list, exact: Exact | None = None) -> str | None:
    """Both autograds with the same random cotangents."""
    chosen = [
        (a, b)
        for a, b in zip(flatten(ours), flatten(theirs), strict=True)
        if isinstance(b, torch.Tensor) and b.requires_grad
    ]
    for a, b in zip(flatten(ours), flatten(theirs), strict=True):
        if isinstance(b, torch.Tensor) and a.requires_grad != b.requires_grad:
            return f"requires_grad {a.requires_grad} instead of {b.requires_grad}"
    leaves = [(t, o) for t, o in pairs if t.requires_grad]
    if not chosen or not leaves:
        return None
    generator = torch.Generator().manual_seed(SEED)
    cotangents = [torch.randn(b.shape, dtype=b.dtype, generator=generator) for _, b in chosen]
    try:
        want = torch.autograd.grad([b for _, b in chosen], [t for t, _ in leaves], cotangents, allow_unused=True)
    except (RuntimeError, NotImplementedError):  # PyTorch has no gradient here
        return None
    mine = [tensor_from(c, {}) for c in cotangents]
    got = grad([a for a, _ in chosen], [o for _, o in leaves], mine, allow_unused=True)
    best = functools.cache(lambda: _exact_gradients(exact, [t for t, _ in leaves], cotangents))
    for nr, ((t, o), g, w) in enumerate(zip(leaves, got, want, strict=True)):
        if w is None and not _reachable(t):
            continue
        filled = disttorch.zeros_like(o) if g is None else g
        if text := difference(
            filled, _zero_or(w, t), f"gradient {nr}", exact=lambda nr=nr, t=t: best() and _zero_or(best()[nr], t)
        ):
            return text
    return None


def _reachable(t: torch.Tensor) -> bool:
    """Whether PyTorch can send a gradient to a tensor; to some detached views of complex tensors it cannot."""
    return torch.autograd.grad(t.abs().sum(), t, allow_unused=True)[0] is not None


def _exact_gradients(exact: Exact | None, inputs: list, cotangents: list) -> list | None:
    outputs = [b for b in flatten(exact.outputs) if isinstance(b, torch.Tensor) and b.requires_grad] if exact else []
    return exact.gradients(outputs, inputs, cotangents) if len(outputs) == len(cotangents) else None


# -- one entry --------------------------------------------------------------------------------------------------------
def dtypes_of(op, extra: bool) -> list:
    wanted = [d for d in (torch.float64, torch.float32) if d in op.dtypes]
    if extra or not wanted:
        wanted += [d for d in EXTRA_DTYPES if d in op.dtypes and (extra or not wanted)]
    return wanted


def replay(op, *, limit: int | None = None, extra: bool = False, only=None) -> Result:
    """Every sample (or `limit` of them per dtype, evenly spread) of an op in float64 and float32; `extra`: other dtypes
    too.
    """
    result = Result(full_name(op))
    try:
        function = function_of(op)
    except Missing as error:
        result.missing = True
        result.failures.append(f"missing: {error}")
        return result
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in only or dtypes_of(op, extra):
            differentiable = dtype in op.backward_dtypes and op.supports_autograd
            torch.manual_seed(SEED)
            try:
                samples = _samples(op, dtype, differentiable, limit)
            except (ValueError, RuntimeError):  # some of them cannot require a gradient
                differentiable = False
                samples = _samples(op, dtype, False, limit)
            for nr, sample in _spread(samples, limit):
                result.samples += 1
                text = _replay_sample(op, function, sample, differentiable)
                if text is not None:
                    result.failures.append(f"{dtype} sample {nr}: {text}   [{_describe(sample)}]")
            result.missing = result.missing or any("missing" in f for f in result.failures)
            if result.missing:
                return result
        _replay_errors(op, function, result)
    return result


def _samples(op, dtype, differentiable: bool, limit: int | None) -> list:
    """Every sample; where a few are wanted, no more are made than it takes to choose them from."""
    made = op.sample_inputs("cpu", dtype, requires_grad=differentiable)
    return list(made if limit is None else itertools.islice(made, 8 * limit))


def _spread(samples: list, limit: int | None):
    """`limit` of the samples, evenly spread, with their numbers."""
    numbered = list(enumerate(samples))
    if limit is None or len(samples) <= limit:
        return numbered
    return [numbered[round(i * (len(samples) - 1) / (limit - 1))] for i in range(limit)]


def _replay_sample(op, function, sample, differentiable: bool) -> str | None:
    convert = Converter()
    try:
        args = [convert(sample.input), *convert(list(sample.args))]
        kwargs = convert(sample.kwargs)
    except Missing as error:
        return f"missing: {error}"
    torch.manual_seed(SEED)
    try:
        theirs = op.op(sample.input, *sample.args, **sample.kwargs)
    except Exception:
        return None  # nothing to compare with
    disttorch.random.manual_seed(SEED)
    try:
        ours = function(*args, **kwargs)
        both, exact = _processed(sample, ours, theirs), Exact(op, sample)
        text = difference(*both, "result", op.name in UNDEFINED_VALUES, lambda: exact.outputs)
        if text is None and differentiable:
            if op.name in WRONG_GRADIENTS:
                gradcheck(function, args) if sample.input.dtype == torch.float64 else None
            else:
                text = gradients_differ(*both, list(convert.pairs.values()), exact)
        return text or _replay_inplace(op, sample, differentiable)
    except AttributeError as error:
        return f"missing: {error}" if "disttorch" in str(error) or "Tensor" in str(error) else f"raised {error!r}"
    except Exception as error:
        return f"raised {error!r}"[:300]


def _processed(sample, ours, theirs):
    """Results of which only a part is defined (eigenvectors up to a factor) are reduced to that part by the sample's
    own function.
    """
    process = sample.output_process_fn_grad
    if isinstance(process, types.FunctionType) and process.__module__.startswith("torch.testing"):
        scope = {**process.__globals__, "torch": disttorch}
        mine = types.FunctionType(process.__code__, scope, process.__name__, process.__defaults__, process.__closure__)
        return mine(ours), process(theirs)
    return process(ours), process(theirs)


def _replay_inplace(op, sample, differentiable: bool) -> str | None:
    theirs_in = op.inplace_variant
    if theirs_in is None or sample.broadcasts_input or not isinstance(sample.input, torch.Tensor):
        return None
    name = getattr(theirs_in, "__name__", "partial")
    convert = Converter()
    args, kwargs = convert(list(sample.args)), convert(sample.kwargs)
    start = convert(sample.input)
    torch.manual_seed(SEED)
    try:
        theirs = theirs_in(sample.input.clone(), *sample.args, **sample.kwargs)
    except Exception:
        return None
    mine = _translated(theirs_in) or getattr(disttorch.Tensor, name, None)
    if mine is None:
        return f"missing: in-place {name}"
    disttorch.random.manual_seed(SEED)
    try:
        given = start.clone()
        ours = mine(given, *args, **kwargs)
    except Exception as error:
        return f"in place: raised {error!r}"[:300]
    if ours is not given:
        return "in place: gave another tensor"
    text = difference(ours, theirs, "in place")
    if text is None and differentiable:
        text = gradients_differ(ours, theirs, list(convert.pairs.values()))
        return f"in place: {text}" if text else None
    return text


def _replay_errors(op, function, result: Result) -> None:
    if op.error_inputs_func is None:
        return
    for nr, error_input in enumerate(itertools.islice(op.error_inputs("cpu"), 40)):
        sample = error_input.sample_input
        convert = Converter()
        try:
            args, kwargs = [convert(sample.input), *convert(list(sample.args))], convert(sample.kwargs)
        except (Missing, AttributeError):
            continue
        try:
            op.op(sample.input, *sample.args, **sample.kwargs)
        except Exception as expected:
            known = expected
        else:
            continue
        result.errors += 1
        try:
            function(*args, **kwargs)
        except type(known) as error:
            if str(error).split("\n")[0] != str(known).split("\n")[0]:
                result.wordings.append(f"error {nr}: {str(error)!r} instead of {str(known)!r}")
        except Exception as error:
            result.failures.append(f"error {nr}: {error!r} instead of {known!r}"[:400])
        else:
            result.failures.append(f"error {nr}: no error instead of {known!r}   [{_describe(sample)}]"[:400])


def _describe(sample) -> str:
    def short(value) -> str:
        if isinstance(value, torch.Tensor):
            return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        if isinstance(value, tuple | list):
            return "(" + ", ".join(map(short, value)) + ")"
        return repr(value)

    parts = [short(sample.input), *map(short, sample.args), *[f"{k}={short(v)}" for k, v in sample.kwargs.items()]]
    return ", ".join(parts)[:200]
