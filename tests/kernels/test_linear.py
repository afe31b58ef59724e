import numpy as np
import pytest

from disttorch.kernels import set_num_threads

from .conftest import assert_close, normal

# the last but one is large enough for oneDNN's GEMM, the last one for a primitive
SIZES = [(3, 5, 4), (1, 1, 1), (70, 90, 110), (40, 400, 300)]


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
        ((90, 300), (300, 200)),
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


@pytest.mark.parametrize("rows", [20, 300, 600])  # few; more than the GEMM's share; so many that weights are reordered
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_linear_with_an_activation(kernels, rng, rows, activation):
    x, w, b = normal(rng, rows, 60), normal(rng, 130, 60), normal(rng, 130)
    after = kernels.relu_forward if activation == "relu" else kernels.gelu_forward
    assert_close(kernels.linear_forward(x, w, b, activation), after((x @ w.T + b).astype(np.float32)), 1e-4)


@pytest.mark.parametrize("activation", [None, "relu"])
def test_an_activation_hides_no_nan(kernels, rng, activation):
    x, w, b = normal(rng, 600, 60), normal(rng, 130, 60), normal(rng, 130)
    w[7, 3] = np.nan
    y = kernels.linear_forward(x, w, b, activation)
    assert np.isnan(y[:, 7]).all()
    assert np.isfinite(y[:, :7]).all()


@pytest.mark.parametrize(("rows", "inner", "out"), [(17, 512, 512), (64, 784, 256), (255, 4096, 40), (1000, 64, 333)])
def test_linear_has_the_same_bits_with_one_thread_and_with_two(onednn, rng, two_threads, rows, inner, out):
    x, w, b = normal(rng, rows, inner), normal(rng, out, inner), normal(rng, out)
    results = []
    for count in (1, 2):
        set_num_threads(count)
        results.append(onednn.linear_forward(x, w, b))
    assert np.array_equal(*results)


@pytest.mark.parametrize(("length", "batch"), [(3, 2), (75, 8)])
def test_linear_of_turned_sequences(kernels, rng, length, batch):
    x = normal(rng, batch, length, 60).swapaxes(0, 1)
    w, b, g = normal(rng, 180, 60), normal(rng, 180), normal(rng, length, batch, 180)
    assert_close(kernels.linear_forward(x, w, b), x @ w.T + b, 1e-4)
    gx, gw, gb = kernels.linear_backward(g, x, w)
    assert_close(gx, g @ w, 1e-3)
    assert_close(gw, np.einsum("lno,lni->oi", g, x), 1e-3)
    assert_close(gb, g.sum((0, 1)), 1e-3)
    parts = [g[..., at : at + 60] for at in (0, 60, 120)]
    for found, whole in zip(kernels.linear_parts_backward(parts, x, w), (gx, gw, gb), strict=True):
        assert_close(found, whole, 1e-3)


def test_the_gradient_of_wide_weights(kernels, rng):
    g, x, w = normal(rng, 600, 300), normal(rng, 600, 120), normal(rng, 300, 120)
    assert_close(kernels.linear_backward(g, x, w)[1], g.T @ x, 1e-3)
