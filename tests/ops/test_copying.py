import pytest

import disttorch as torch

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.complex64]


@pytest.mark.parametrize("source", DTYPES, ids=str)
@pytest.mark.parametrize("target", DTYPES, ids=str)
@pytest.mark.parametrize("size", [3, 1 << 15])  # few, and more than are converted one by one
def test_copies_between_dtypes(source, target, size):
    """Of complex numbers the real part, of others what they are, rounded."""
    numbers = torch.arange(size) % 100 - 50
    x = numbers.to(source)
    if source.is_complex:
        x = x + 3j
    y = torch.zeros(size, dtype=target)
    assert y.copy_(x) is y
    expected = x if target.is_complex else numbers
    assert y.dtype is target
    assert torch.equal(y, expected.to(target))


def test_it_broadcasts():
    x, y = torch.tensor([[1.5], [2.5]]).half(), torch.zeros(2, 3)
    assert y.copy_(x).tolist() == [[1.5] * 3, [2.5] * 3]
