"""Sums, differences, products and quotients of large arrays: NumPy's bits, whoever computes them."""

import numpy as np
import pytest

from disttorch.kernels import set_num_threads

from .conftest import channels_last, normal

UFUNCS = [np.add, np.subtract, np.multiply, np.true_divide]
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0, -1], np.float32)
PICTURES, ROWS = (4, 96, 20, 20), (700, 128)
OTHERS = {  # what is broadcast into the first shape
    PICTURES: [
        PICTURES,
        (4, 96, 1, 1),
        (96, 1, 1),
        (4, 1, 20, 20),
        (20, 20),
        (4, 1, 1, 1),
        (20,),
        (1,),
        (),
        (96, 1, 20),
    ],
    ROWS: [ROWS, (128,), (700, 1), (1, 1)],
    (70000,): [(70000,), (1,)],
}
ORDERS = [(shape, other, last) for shape in OTHERS for other in OTHERS[shape] for last in {False, shape == PICTURES}]


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request, two_threads):
    set_num_threads(request.param)


def with_specials(rng, *shape):
    x = normal(rng, *shape)
    x.reshape(-1)[: len(SPECIAL)] = SPECIAL[: x.size]
    return x


def same(found, expected):
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert found.strides == expected.strides


@pytest.mark.parametrize("ufunc", UFUNCS)
@pytest.mark.parametrize(("shape", "other", "last"), ORDERS)
def test_broadcast(kernels, rng, ufunc, shape, other, last):
    """In new memory, and in the first array's; with the operands in either order, and in either layout."""
    a, b = with_specials(rng, *shape), with_specials(rng, *other)
    if last:
        a, b = (channels_last(x) if x.ndim == 4 else x for x in (a, b))
    with np.errstate(all="ignore"):
        same(kernels.combined(ufunc, a, b), ufunc(a, b))
        same(kernels.combined(ufunc, b, a), ufunc(b, a))
        expected = ufunc(a, b)
        assert kernels.combined(ufunc, a, b, a) is a
    np.testing.assert_array_equal(a, expected)


@pytest.mark.parametrize("ufunc", UFUNCS)
def test_numbers_and_views(kernels, rng, ufunc):
    a, b = normal(rng, *PICTURES), normal(rng, *PICTURES) + 3
    same(kernels.combined(ufunc, a, 0.3), ufunc(a, 0.3))
    same(kernels.combined(ufunc, a, 7), ufunc(a, 7))
    for one, other in ((a, channels_last(b)), (a[..., 1:], b[..., 1:]), (a[:, ::-1], b), (a.T, b.T)):
        np.testing.assert_array_equal(kernels.combined(ufunc, one, other), ufunc(one, other))


@pytest.mark.parametrize("ufunc", UFUNCS)
def test_an_operand_that_is_written_over(kernels, rng, ufunc):
    """What is still to be read is not overwritten before."""
    a = np.abs(normal(rng, 701, 128)) + 1
    for other in (lambda x: x[:1], lambda x: x[:, :1], lambda x: x[3:4]):
        expected, found = ufunc(a, other(a)), a.copy()
        kernels.combined(ufunc, found, other(found), found)
        np.testing.assert_array_equal(found, expected)
    expected, found = ufunc(a[1:], a[:-1]), a.copy()
    kernels.combined(ufunc, found[1:], found[:-1], found[1:])
    np.testing.assert_array_equal(found[1:], expected)
    expected = ufunc(a, a)
    kernels.combined(ufunc, a, a, a)
    np.testing.assert_array_equal(a, expected)


def test_a_result_of_another_layout_or_shape(kernels, rng):
    a, b = normal(rng, *PICTURES), normal(rng, 96, 1, 1)
    out = channels_last(np.empty(PICTURES, np.float32))
    assert kernels.combined(np.add, a, b, out) is out
    np.testing.assert_array_equal(out, a + b)
    with pytest.raises(ValueError, match="broadcast"):
        kernels.combined(np.add, b, a, b.copy())
    with pytest.raises(ValueError, match="broadcast"):
        kernels.combined(np.add, a, normal(rng, 7), None)


def test_other_dtypes_are_numpys(kernels, rng):
    a = normal(rng, *ROWS)
    same(kernels.combined(np.multiply, a, a.astype(np.float64)), a * a.astype(np.float64))


@pytest.mark.parametrize("axes", [((4, True), (400, False), (96, True)), ((4, False), (96, True), (400, False))])
def test_what_onednn_is_given(onednn, rng, axes, monkeypatch):
    """Broadcast operands go to oneDNN, also with one thread."""
    seen = []
    monkeypatch.setattr(onednn.engine, "run", lambda key, *_, **__: seen.append(key))
    a = normal(rng, *PICTURES)
    a, b = (channels_last(a), normal(rng, 4, 96, 1, 1)) if axes[0][1] else (a, normal(rng, 96, 1, 1))
    onednn.combined(np.multiply, a, b)
    assert [key[2] for key in seen] == [axes]
