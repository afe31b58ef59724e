import numpy as np
import pytest

from disttorch.kernels import halves
from disttorch.kernels.portable.precision import converted
from disttorch.kernels.subnormals import flush_subnormals

ALL = np.arange(1 << 16, dtype=np.uint16).view(np.float16)  # infinities, NaNs, subnormal numbers and zeros among them
NUMBERS = np.concatenate([part[: halves.NUMBER + 1] for part in np.split(ALL, 2)])


@pytest.fixture(autouse=True)
def hushed():
    """On Arm, NumPy warns of NaNs."""
    with np.errstate(invalid="ignore"):
        yield


def assert_same_bits(actual, expected):
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize("block", [halves.BLOCK, 1000])
def test_all_numbers(monkeypatch, block):
    monkeypatch.setattr(halves, "BLOCK", block)
    assert_same_bits(halves.widen(ALL), ALL.astype(np.float32))
    assert_same_bits(halves.widen(NUMBERS), NUMBERS.astype(np.float32))


def test_infinity_alone():
    numbers = NUMBERS.copy()
    numbers[5] = -np.inf
    assert_same_bits(halves.widen(numbers), numbers.astype(np.float32))


@pytest.mark.parametrize("lie", [np.transpose, lambda x: x[::2], lambda x: x[:, 5:]], ids=["turned", "apart", "inner"])
def test_any_strides(lie):
    x = lie(ALL.reshape(-1, 128))
    assert_same_bits(halves.widen(x), x.astype(np.float32))


def test_numpy_is_asked_for_few_and_for_what_is_no_number_alone(monkeypatch):
    """The block with the infinities goes NumPy's way, not those around it."""
    monkeypatch.setattr(halves, "KEPT", np.int32(0))
    assert halves.widen(NUMBERS[: halves.LONG]).max() == 0
    assert halves.widen(NUMBERS[: halves.LONG - 1]).max() > 0
    monkeypatch.setattr(halves, "BLOCK", 1000)
    out = halves.widen(np.concatenate([NUMBERS, ALL[-1000:], NUMBERS]))
    known = np.flatnonzero(out)
    assert 0 < len(known) <= 2000


@pytest.mark.skipif(not flush_subnormals(False), reason="x86-64 with glibc")
def test_subnormal_halves_where_such_operands_count_as_zero():
    expected = NUMBERS.astype(np.float32)
    flush_subnormals(True)
    try:
        actual = halves.widen(NUMBERS)
    finally:
        flush_subnormals(False)
    assert_same_bits(actual, expected)


def test_it_is_how_arrays_are_converted(monkeypatch):
    monkeypatch.setattr(halves, "KEPT", np.int32(0))
    assert converted(NUMBERS, np.dtype(np.float32)).max() == 0
