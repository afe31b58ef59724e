"""Type promotion, exhaustively: every pair of dtypes, every rank of operand, Python numbers, and what may be cast to
what.
"""

import itertools
import operator

import pytest

torch = pytest.importorskip("torch")

import disttorch  # noqa: E402

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:ComplexHalf")]

NAMES = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16",
    "float32", "float64",
    "complex64", "complex128",
]  # fmt: skip
NUMBERS = [True, 3, 2.5, 1 + 2j]
SHAPES = [(), (2,)]


def outcome(function, *args):
    """A dtype's or bool's name, or the type of the error."""
    try:
        value = function(*args)
    except Exception as error:
        return type(error).__name__
    return str(value)


@pytest.mark.parametrize("name", ["promote_types", "can_cast"])
def test_pairs_of_dtypes(name: str) -> None:
    wrong = {}
    for a, b in itertools.product(NAMES, NAMES):
        ours = outcome(getattr(disttorch, name), getattr(disttorch, a), getattr(disttorch, b))
        theirs = outcome(getattr(torch, name), getattr(torch, a), getattr(torch, b))
        if ours != theirs:
            wrong[a, b] = ours, theirs
    assert wrong == {}


def operands(library):
    for name, shape in itertools.product(NAMES, SHAPES):
        yield f"{name}{list(shape)}", library.ones(shape, dtype=getattr(library, name))
    for number in NUMBERS:
        yield repr(number), number


def test_result_type() -> None:
    ours, theirs = dict(operands(disttorch)), dict(operands(torch))
    wrong = {}
    for a, b in itertools.product(ours, ours):
        got, want = outcome(disttorch.result_type, ours[a], ours[b]), outcome(torch.result_type, theirs[a], theirs[b])
        if got != want and want != "torch.complex32":  # which disttorch has not
            wrong[a, b] = got, want
    assert wrong == {}


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "eq", "lt"])
def test_dtypes_of_results(name: str) -> None:
    """Of operators between tensors and numbers; PyTorch lacks some kernels for unsigned types, which may exist here."""
    apply = getattr(operator, name)
    ours, theirs = dict(operands(disttorch)), dict(operands(torch))
    wrong = {}
    for a, b in itertools.product(ours, ours):
        if not isinstance(ours[a], disttorch.Tensor) and not isinstance(ours[b], disttorch.Tensor):
            continue
        want = outcome(lambda x, y: apply(x, y).dtype, theirs[a], theirs[b])
        got = outcome(lambda x, y: apply(x, y).dtype, ours[a], ours[b])
        if got != want and want not in ("NotImplementedError", "torch.complex32"):
            wrong[a, b] = got, want
    assert wrong == {}


@pytest.mark.parametrize("name", ["add_", "mul_", "div_"])
def test_dtypes_in_place(name: str) -> None:
    ours, theirs = dict(operands(disttorch)), dict(operands(torch))
    wrong = {}
    for a, b in itertools.product(ours, ours):
        if not isinstance(ours[a], disttorch.Tensor):
            continue
        want = outcome(lambda x, y: getattr(x.clone(), name)(y).dtype, theirs[a], theirs[b])
        got = outcome(lambda x, y: getattr(x.clone(), name)(y).dtype, ours[a], ours[b])
        if got != want and want != "NotImplementedError":
            wrong[a, b] = got, want
    assert wrong == {}
