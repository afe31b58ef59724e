import numpy as np
import pytest

from disttorch.kernels import float16
from disttorch.kernels.portable.precision import converted
from disttorch.kernels.subnormals import flush_subnormals

ALL = np.arange(1 << 16, dtype=np.uint16).view(np.float16)  # infinities, NaNs, subnormal numbers and zeros among them
NUMBERS = np.concatenate([part[: float16.NUMBER + 1] for part in np.split(ALL, 2)])


@pytest.fixture(autouse=True)
def hushed():
    """On Arm, NumPy warns of NaNs."""
    with np.errstate(invalid="ignore"):
        yield


def assert_same_bits(actual, expected):
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize("block", [float16.BLOCK, 1000])
def test_all_numbers(monkeypatch, block):
    monkeypatch.setattr(float16, "BLOCK", block)
    assert_same_bits(float16.widen(ALL), ALL.astype(np.float32))
    assert_same_bits(float16.widen(NUMBERS), NUMBERS.astype(np.float32))


def test_infinity_alone():
    numbers = NUMBERS.copy()
    numbers[5] = -np.inf
    assert_same_bits(float16.widen(numbers), numbers.astype(np.float32))


@pytest.mark.parametrize("lie", [np.transpose, lambda x: x[::2], lambda x: x[:, 5:]], ids=["turned", "apart", "inner"])
def test_any_strides(lie):
    x = lie(ALL.reshape(-1, 128))
    assert_same_bits(float16.widen(x), x.astype(np.float32))


def test_numpy_is_asked_for_few_and_for_what_is_no_number_alone(monkeypatch):
    """The block with the infinities goes NumPy's way, not those around it."""
    monkeypatch.setattr(float16, "KEPT", np.int32(0))
    assert float16.widen(NUMBERS[: float16.LONG]).max() == 0
    assert float16.widen(NUMBERS[: float16.LONG - 1]).max() > 0
    monkeypatch.setattr(float16, "BLOCK", 1000)
    out = float16.widen(np.concatenate([NUMBERS, ALL[-1000:], NUMBERS]))
    known = np.flatnonzero(out)
    assert 0 < len(known) <= 2000


@pytest.mark.skipif(not flush_subnormals(False), reason="x86-64 with glibc")
def test_subnormal_halves_where_such_operands_count_as_zero():
    expected = NUMBERS.astype(np.float32)
    flush_subnormals(True)
    try:
        actual = float16.widen(NUMBERS)
    finally:
        flush_subnormals(False)
    assert_same_bits(actual, expected)


def test_it_is_how_arrays_are_converted(monkeypatch):
    monkeypatch.setattr(float16, "KEPT", np.int32(0))
    assert converted(NUMBERS, np.dtype(np.float32)).max() == 0
