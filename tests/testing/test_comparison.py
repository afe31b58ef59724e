"""assert_close: tolerances, and the account of a difference; texts beside PyTorch's where that is installed."""

import pytest

import disttorch
from disttorch.testing import assert_allclose, assert_close, make_tensor

CLOSE = [
    lambda L: (L.tensor([1.0, 2.0]), L.tensor([1.0, 2.0 + 1e-6])),
    lambda L: (L.tensor([1, 2]), L.tensor([1, 2])),
    lambda L: (1.0, 1.0 + 1e-9),
    lambda L: ([L.ones(1), 2], [L.ones(1), 2]),
    lambda L: ({"a": L.ones(1)}, {"a": L.ones(1)}),
    lambda L: (L.ones(0), L.ones(0)),
    lambda L: (None, None),
]
FAR = [
    lambda L: ((L.tensor([1.0, 2.0]), L.tensor([1.0, 2.1])), {}),
    lambda L: ((L.tensor([[1.0, 5.0], [3.0, 0.0]]), L.tensor([[1.0, 2.0], [3.5, 1.0]])), {}),
    lambda L: ((L.tensor([1, 2, 3]), L.tensor([1, 5, 3])), {}),
    lambda L: ((1.0, 1.5), {}),
    lambda L: ((L.ones(2), L.ones(3)), {}),
    lambda L: ((L.ones(2), L.ones(2, dtype=L.float64)), {}),
    lambda L: (([L.ones(1), L.zeros(1)], [L.ones(1), L.ones(1)]), {}),
    lambda L: (([1, 2], [1]), {}),
    lambda L: ((L.tensor(float("nan")), L.tensor(float("nan"))), {}),
    lambda L: ((L.ones(2), L.ones(2) * 1.1), {"rtol": 0.01, "atol": 0.0}),
    lambda L: ((L.ones(2), L.ones(2) * 1.1), {"msg": "mine"}),
    lambda L: ((L.ones(2, 3), L.ones(3, 2).t()), {"check_stride": True}),
]


@pytest.mark.parametrize("make", CLOSE)
def test_close(make):
    assert_close(*make(disttorch))


@pytest.mark.parametrize("make", FAR)
def test_far(make):
    values, settings = make(disttorch)
    with pytest.raises(AssertionError):
        assert_close(*values, **settings)


@pytest.mark.oracle
@pytest.mark.parametrize("make", FAR)
def test_texts(make):
    torch = pytest.importorskip("torch")
    texts = []
    for lib in (disttorch, torch):
        values, settings = make(lib)
        with pytest.raises(AssertionError) as caught:
            lib.testing.assert_close(*values, **settings)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_settings():
    nan = disttorch.tensor([float("nan")])
    assert_close(nan, nan, equal_nan=True)
    assert_close(disttorch.ones(1), disttorch.ones(1, dtype=disttorch.float64), check_dtype=False)
    with pytest.raises(ValueError, match="no atol"):
        assert_close(1.0, 1.0, rtol=0.1)
    with pytest.raises(AssertionError, match=r"^before"):
        assert_close(1.0, 2.0, msg=lambda text: "before " + text)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "uint8", "bool", "complex64"])
def test_made_tensors(dtype):
    d = getattr(disttorch, dtype)
    t = make_tensor(3, 4, dtype=d, device="cpu", noncontiguous=True)
    assert (t.dtype, t.shape, t.is_contiguous()) == (d, (3, 4), False)
    assert not (make_tensor((50,), dtype=d, device="cpu", exclude_zero=True) == 0).any()


@pytest.mark.filterwarnings("ignore:.*assert_allclose:FutureWarning")
def test_the_older_comparison():
    assert_allclose([1.0, float("nan")], [1.0, float("nan")])
    assert_allclose(disttorch.ones(2), disttorch.ones(2, dtype=disttorch.int64))
    assert_allclose(disttorch.ones(2), disttorch.ones(2) * 1.00005)
    assert_allclose(1.0, 1.2, rtol=0, atol=0.3)
    with pytest.raises(AssertionError, match="Mismatched elements: 1 / 2"):
        assert_allclose(disttorch.ones(2), [1.0, 1.001])
    with pytest.raises(AssertionError, match="Scalars are not equal"):
        assert_allclose(1, 2)


def test_a_difference_from_zero_is_infinitely_great_beside_it():
    with pytest.raises(AssertionError, match=r"Greatest relative difference: inf at index \(1,\)"):
        assert_close(disttorch.ones(2), disttorch.tensor([1.0, 0.0]))
