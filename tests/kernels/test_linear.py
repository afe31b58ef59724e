import numpy as np
import pytest

from .conftest import assert_close, normal

# the last one is large enough for oneDNN's GEMM
SIZES = [(3, 5, 4), (1, 1, 1), (70, 90, 110)]


@pytest.mark.parametrize(("rows", "inner", "out"), SIZES)
@pytest.mark.parametrize("leading", [(), (2,)])
@pytest.mark.parametrize("bias", [False, True])
def test_linear(kernels, rng, rows, inner, out, leading, bias):
    x, w, b = normal(rng, *leading, rows, inner), normal(rng, out, inner), normal(rng, out)
    y = kernels.linear_forward(x, w, b if bias else None)
    assert_close(y, x.astype(np.float64) @ w.T + b * bias, 1e-3)
    g = normal(rng, *y.shape)
    gx, gw, gb = kernels.linear_backward(g, x, w)
    g2, x2 = g.reshape(-1, out).astype(np.float64), x.reshape(-1, inner)
    assert_close(gx, (g2 @ w).reshape(x.shape), 1e-3)
    assert_close(gw, g2.T @ x2, 1e-3)
    assert_close(gb, g2.sum(axis=0), 1e-3)
    only_gw = kernels.linear_backward(g, x, w, (False, True, False))
    assert only_gw[0] is None
    assert only_gw[2] is None
    np.testing.assert_array_equal(only_gw[1], gw)


def operand(rng, shape, how):
    """A matrix (stack) of this shape with unusual strides."""
    if how == "transposed":
        return np.swapaxes(normal(rng, *shape[:-2], shape[-1], shape[-2]), -1, -2)
    if how == "sliced":
        return normal(rng, *shape[:-1], 2 * shape[-1])[..., ::2]
    if how == "padded":
        return normal(rng, *shape[:-1], shape[-1] + 3)[..., :-3]
    if how == "reversed":
        return normal(rng, *shape)[..., ::-1, :]
    if how == "broadcast":
        return np.broadcast_to(normal(rng, *shape[:-2], 1, shape[-1]), shape)
    return normal(rng, *shape)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("plain", "plain"),
        ("transposed", "plain"),
        ("plain", "transposed"),
        ("padded", "sliced"),
        ("sliced", "reversed"),
        ("broadcast", "padded"),
        ("reversed", "broadcast"),
    ],
)
@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((90, 110), (110, 70)),
        ((2, 64, 96), (96, 100)),
        ((4, 64, 96), (4, 96, 64)),
        ((2, 3, 64, 96), (3, 96, 64)),
        ((2, 1, 64, 96), (1, 3, 96, 64)),
    ],
)
def test_matmul(kernels, rng, a_shape, b_shape, first, second):
    a, b = operand(rng, a_shape, first), operand(rng, b_shape, second)
    assert_close(kernels.matmul(a, b), a.astype(np.float64) @ b, 1e-3)


def test_attention_heads_as_views(kernels, rng):
    q, k = (normal(rng, 2, 48, 4, 32) for _ in range(2))
    q, k = q.transpose(0, 2, 1, 3), k.transpose(0, 2, 3, 1)
    assert_close(kernels.matmul(q, k), q.astype(np.float64) @ k, 1e-3)


@pytest.mark.parametrize(("a_shape", "b_shape"), [((5,), (5,)), ((3, 5), (5,)), ((5,), (2, 5, 4)), ((3, 0), (0, 4))])
def test_matmul_follows_numpy(kernels, rng, a_shape, b_shape):
    a, b = normal(rng, *a_shape), normal(rng, *b_shape)
    np.testing.assert_allclose(kernels.matmul(a, b), a @ b, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.complex64, np.float16])
def test_other_dtypes(kernels, rng, dtype):
    a, b = (rng.integers(-3, 4, shape).astype(dtype) for shape in ((90, 110), (110, 70)))
    product = kernels.matmul(a, b)
    assert product.dtype == dtype
    wide = np.result_type(dtype, np.float64)
    np.testing.assert_array_equal(product, a.astype(wide) @ b.astype(wide))
