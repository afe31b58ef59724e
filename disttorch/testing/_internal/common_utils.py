"""What tests written for PyTorch take from torch.testing._internal.common_utils: a TestCase that compares tensors,
parameters of tests, and what the machine is.
"""

import contextlib
import functools
import inspect
import random
import socket
import sys
import unittest
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from numbers import Number
from typing import Any

import numpy as np

from ... import cuda
from ... import random as generators
from ...autograd.variable import Tensor
from ...devices import device, device_count
from ...dtypes import dtype
from ...ops import as_tensor
from ..comparison import assert_close, default_tolerances, make_tensor

__all__ = ["TestCase", "instantiate_parametrized_tests", "make_tensor", "parametrize", "run_tests", "subtest"]

FILE_SCHEMA = "file:///" if sys.platform == "win32" else "file://"
IS_LINUX, IS_MACOS, IS_WINDOWS = (sys.platform == name for name in ("linux", "darwin", "win32"))
IS_CI = IS_FBCODE = IS_SANDCASTLE = NO_MULTIPROCESSING_SPAWN = False
TEST_WITH_ASAN = TEST_WITH_DEV_DBG_ASAN = TEST_WITH_ROCM = TEST_WITH_TSAN = TEST_WITH_UBSAN = False
TEST_WITH_TORCHDYNAMO = TEST_WITH_SLOW = False
TEST_NUMPY = True
TEST_CUDA, TEST_MULTIGPU = device_count() > 0, device_count() > 1
SEED = 1234


def set_rng_seed(seed: int | None = None) -> None:
    """Seed disttorch's generators, Python's and NumPy's; None: with the number that every test starts with."""
    seed = SEED if seed is None else seed
    generators.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


@contextlib.contextmanager
def freeze_rng_state() -> Iterator[None]:
    """Numbers drawn inside leave the generators as they were."""
    with generators.fork_rng(range(device_count())):
        yield


def find_free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def run_tests(argv: list[str] | None = None) -> None:
    """Run the tests of the main module."""
    unittest.main(argv=argv)


class TestCase(unittest.TestCase):
    """unittest's, with an `assertEqual` that knows tensors; every test starts with the same random numbers."""

    precision = rel_tol = 0.0  # tolerances that hold at least

    def setUp(self) -> None:
        super().setUp()
        set_rng_seed()

    def assertEqual(
        self,
        x: Any,
        y: Any,
        msg: Any = None,
        *,
        atol: float | None = None,
        rtol: float | None = None,
        equal_nan: bool = True,
        exact_dtype: bool = True,
        exact_device: bool = False,
        exact_layout: bool = False,
        exact_stride: bool = False,
        exact_is_coalesced: bool = False,
    ) -> None:
        """Tensors, numbers and arrays by `testing.assert_close`, what is in sequences and mappings one by one, all else
        by ==. A tensor may be compared with a sequence too, and one of a single element with a number.
        """
        options = {"equal_nan": equal_nan, "check_dtype": exact_dtype, "check_device": exact_device, "msg": msg}
        self._compare(x, y, atol, rtol, {**options, "check_stride": exact_stride})

    def _compare(self, x: Any, y: Any, atol: float | None, rtol: float | None, options: dict) -> None:
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            super().assertEqual(set(x), set(y), options["msg"])
            for key in x:
                self._compare(x[key], y[key], atol, rtol, options)
        elif isinstance(x, (list, tuple)) and isinstance(y, (list, tuple)):
            super().assertEqual(len(x), len(y), options["msg"])
            for each in zip(x, y, strict=True):
                self._compare(*each, atol, rtol, options)
        elif any(isinstance(v, (Tensor, np.ndarray)) for v in (x, y)) and x is not None and y is not None:
            self._compare_tensors(x, y, atol, rtol, options)
        elif isinstance(x, Number) and isinstance(y, Number) and {type(x), type(y)} & {float, complex}:
            self._compare_tensors(x, y, atol, rtol, {**options, "check_dtype": False})
        else:
            super().assertEqual(x, y, options["msg"])

    def _compare_tensors(self, x: Any, y: Any, atol: float | None, rtol: float | None, options: dict) -> None:
        same = isinstance(x, Tensor) == isinstance(y, Tensor)
        like = x if isinstance(x, Tensor) else y
        where = like.device if isinstance(like, Tensor) else None
        if isinstance(like, Tensor) and like.numel() == 1 and any(isinstance(v, Number) for v in (x, y)):
            x, y = (v.reshape(()) if v is like else v for v in (x, y))
        x, y = (v if isinstance(v, Tensor) else as_tensor(v, device=where) for v in (x, y))
        if atol is None and rtol is None:
            rtol, atol = default_tolerances(x.dtype, y.dtype)
        options = options if same else {**options, "check_dtype": False}
        wide = {"atol": max(atol or 0.0, self.precision), "rtol": max(rtol or 0.0, self.rel_tol)}
        assert_close(x, y, **wide, **options)

    def assertNotEqual(self, x: Any, y: Any, msg: Any = None, **options: Any) -> None:
        """The opposite of `assertEqual`."""
        try:
            self.assertEqual(x, y, **options)
        except AssertionError:
            return
        raise self.failureException(msg or f"{x!r} == {y!r}")

    def assertEqualIgnoreType(self, *args: Any, **options: Any) -> None:
        self.assertEqual(*args, exact_dtype=False, **options)


class NoTest:
    """In the place of a TestCase, where its tests cannot run."""


# ---- parameters of tests


class subtest:
    """The values of one test, with a name for it and decorators."""

    def __init__(self, arg_values: Any, name: str | None = None, decorators: Iterable[Callable] | None = None):
        self.arg_values, self.name, self.decorators = arg_values, name, list(decorators or ())


class parametrize:
    """A test method for each value (or tuple of values) of `arg_values`, given as the keywords `arg_str` names.

    `instantiate_parametrized_tests` makes the methods; their names end in `name_fn(*values)`, a subtest's name, or the
    keywords and values. Several decorators multiply.
    """

    def __init__(self, arg_str: str, arg_values: Iterable, name_fn: Callable[..., str] | None = None):
        self.names = [name.strip() for name in arg_str.split(",") if name.strip()]
        self.values, self.name_fn = arg_values, name_fn

    def __call__(self, test: Callable) -> Callable:
        test.parameters = (*getattr(test, "parameters", ()), self._cases())  # type: ignore[attr-defined]
        return test

    def _cases(self) -> list[tuple[str, dict, list]]:
        """(end of the name, keywords, decorators) of each."""
        cases = []
        for i, given in enumerate(self.values):
            case = given if isinstance(given, subtest) else subtest(given)
            values = list(case.arg_values) if len(self.names) > 1 else [case.arg_values]
            if len(values) != len(self.names):
                raise RuntimeError(f"Expected # values == # arg names, but got: {len(values)} and {self.names}")
            described = self.name_fn or (lambda *v, i=i: "_".join(map(_described, self.names, v, [i] * len(v))))
            keywords = dict(zip(self.names, values, strict=True))
            cases.append((case.name or described(*values), keywords, case.decorators))
        if not cases:
            raise ValueError("An empty arg_values was passed to @parametrize.")
        return cases


def _described(name: str, value: Any, number: int) -> str:
    if isinstance(value, dtype):
        return str(value).rpartition(".")[2]
    if isinstance(value, device):
        return str(value)
    return f"{name}_{str(value).replace('.', '_')}" if isinstance(value, (int, float, str)) else f"{name}{number}"


def instantiate_parametrized_tests(generic_cls: type) -> type:
    """Put a method for each of its parameters in the place of every parametrized method of a class."""
    for name, test in inspect.getmembers(generic_cls, lambda member: hasattr(member, "parameters")):
        delattr(generic_cls, name)
        for cases in product(*test.parameters):
            keywords = {key: value for _, given, _ in cases for key, value in given.items()}
            made = _with_keywords(test, keywords)
            for _, _, decorators in cases:
                for decorator in decorators:
                    made = decorator(made)
            made.__name__ = "_".join([name, *[end for end, _, _ in reversed(cases)]])
            setattr(generic_cls, made.__name__, made)
    return generic_cls


def _with_keywords(test: Callable, keywords: dict) -> Callable:
    @functools.wraps(test)
    def made(self: Any) -> Any:
        return test(self, **keywords)

    del made.__dict__["parameters"]
    made.__signature__ = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
    return made


# ---- where tests do not run


def _unless(reason: str | None) -> Callable:
    return (lambda test: test) if reason is None else unittest.skip(reason)


def skip_but_pass_in_sandcastle_if(condition: bool, reason: str) -> Callable:
    return _unless(reason if condition else None)


skip_but_pass_in_sandcastle = unittest.skip
skipIfRocm = skipIfSandcastle = skipIfTorchDynamo = slowTest = serialTest = lambda test=None, *_args, **_options: (
    test if callable(test) else _unless(None)
)


def skipIfNoCuda(test: Callable) -> Callable:
    return _unless(None if cuda.is_available() else "no CUDA device")(test)


def retry_on_connect_failures(func: Callable | None = None, connect_errors: Any = None) -> Callable:
    """The function as it is: addresses are not taken twice here."""
    return func if func is not None else _unless(None)
