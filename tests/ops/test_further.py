"""Decompositions, counts and stretches: by their definitions."""

import numpy as np
import pytest

import disttorch
from disttorch import special
from disttorch.autograd.gradcheck import gradcheck


@pytest.mark.parametrize("kind", ["symmetric", "hermitian"])
def test_ldl_solves_indefinite_systems(kind):
    dtype = disttorch.float64 if kind == "symmetric" else disttorch.complex128
    a = disttorch.randn(3, 7, 7, dtype=dtype)
    a = a + a.mH
    ld, pivots = disttorch.linalg.ldl_factor(a, hermitian=kind == "hermitian")
    assert (pivots < 0).any()  # an indefinite matrix needs blocks of two
    b = disttorch.randn(3, 7, 2, dtype=dtype)
    x = disttorch.linalg.ldl_solve(ld, pivots, b, hermitian=kind == "hermitian")
    np.testing.assert_allclose((a @ x).numpy(), b.numpy(), atol=1e-9)


def test_ldl_of_a_singular_matrix():
    zero = disttorch.zeros(2, 2)
    assert disttorch.linalg.ldl_factor_ex(zero).info.item() == 1
    with pytest.raises(disttorch.linalg.LinAlgError, match="D is singular"):
        disttorch.linalg.ldl_factor(zero)


@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (2, 8, 8)])
def test_low_rank(shape):
    left = disttorch.randn(*shape[:-1], 3, dtype=disttorch.float64)
    a = left @ disttorch.randn(*shape[:-2], 3, shape[-1], dtype=disttorch.float64)
    u, s, v = disttorch.svd_lowrank(a, q=3)
    np.testing.assert_allclose((u @ disttorch.diag_embed(s) @ v.mT).numpy(), a.numpy(), atol=1e-10)
    u, s, v = disttorch.pca_lowrank(a + 5, q=4)
    centred = a - a.mean(-2, keepdim=True)
    np.testing.assert_allclose((u @ disttorch.diag_embed(s) @ v.mT).numpy(), centred.numpy(), atol=1e-10)
    with pytest.raises(ValueError, match="must be non-negative integer"):
        disttorch.pca_lowrank(a, q=100)


@pytest.mark.parametrize(("kind", "want"), [("sum", [3, 0, 7]), ("max", [2, -np.inf, 4]), ("prod", [2, 1, 12])])
def test_segments(kind, want):
    x = disttorch.tensor([1.0, 2.0, 3.0, 4.0])
    assert disttorch.segment_reduce(x, kind, lengths=disttorch.tensor([2, 0, 2])).tolist() == want
    assert disttorch.segment_reduce(x, kind, offsets=disttorch.tensor([0, 2, 2, 4])).tolist() == want


def test_segments_have_gradients_and_errors():
    x = disttorch.randn(5, 2, dtype=disttorch.float64).requires_grad_()
    lengths = disttorch.tensor([2, 3])
    assert gradcheck(lambda x: disttorch.segment_reduce(x, "mean", lengths=lengths), (x,))
    with pytest.raises(RuntimeError, match="Expected all rows of lengths"):
        disttorch.segment_reduce(x, "sum", lengths=disttorch.tensor([1, 1]))


def test_histogramdd_counts():
    points = disttorch.tensor([[0.1, 0.1], [0.9, 0.9], [0.9, 0.2], [2.0, 0.5]])
    hist, edges = disttorch.histogramdd(points, [2, 2], range=[0.0, 1.0, 0.0, 1.0])
    assert hist.tolist() == [[1, 0], [1, 1]]  # the last point lies outside
    assert [e.tolist() for e in edges] == [[0, 0.5, 1]] * 2
    want, _ = np.histogramdd(points.numpy(), [3, 2], density=True)
    np.testing.assert_allclose(disttorch.histogramdd(points, [3, 2], density=True).hist.numpy(), want, rtol=1e-6)


def test_airy():
    x = disttorch.tensor([0.0, 1.0, -1.0, 10.0, -20.0], dtype=disttorch.float64)
    want = [0.355028053887817239, 0.135292416312881416, 0.535560883292352381, 1.10475325528975e-10, -0.176406127077984]
    np.testing.assert_allclose(special.airy_ai(x).numpy(), want, rtol=1e-12)


def test_hash_tensor_is_the_exclusive_or():
    assert disttorch.hash_tensor(disttorch.tensor([5, 3, 9])).item() == 5 ^ 3 ^ 9
    x = disttorch.randn(4, 3)
    assert disttorch.hash_tensor(x, 0).shape == (3,)
    assert disttorch.hash_tensor(disttorch.cat([x, x])).item() == 0


def test_native_normalisation_gives_its_statistics():
    x = disttorch.randn(4, 6, dtype=disttorch.float64)
    out, mean, scale = disttorch.native_layer_norm(x, (6,), None, None, 1e-5)
    np.testing.assert_allclose(((x - mean) * scale).numpy(), out.numpy(), atol=1e-12)
    out, mean, scale = disttorch.native_group_norm(x, None, None, 4, 6, 1, 2, 1e-5)
    np.testing.assert_allclose(
        ((x.reshape(4, 2, 3) - mean[..., None]) * scale[..., None]).numpy(), out.reshape(4, 2, 3).numpy(), atol=1e-12
    )


def test_aten_names():
    aten = disttorch.ops.aten
    x = disttorch.tensor([[-np.inf, -np.inf], [0.0, 0.0]])
    assert aten._safe_softmax.default(x, -1).tolist() == [[0, 0], [0.5, 0.5]]
    assert aten.add.Tensor(x[1], 1).tolist() == aten.add(x[1], 1).tolist() == [1, 1]
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = aten.nonsense


def test_out_is_not_read_while_it_is_written():
    x = disttorch.ones(4)
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        disttorch.cat([x, x], out=x)
    index = disttorch.tensor([2, 1, 0])
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        disttorch.gather(index.clone(), 0, index[1:], out=index[:1])


def test_logcumsumexp_keeps_the_digits_of_its_gradient():
    values = 1e4 + np.linspace(0, 3, 6)
    single = disttorch.tensor(values, dtype=disttorch.float32).requires_grad_()
    exact = single.detach().double().requires_grad_()
    for t in (single, exact):
        disttorch.logcumsumexp(t, 0).sum().backward()
    np.testing.assert_allclose(single.grad.numpy(), exact.grad.numpy(), rtol=1e-6)


def test_numbers_in_place_are_taken_where_the_function_takes_them():
    count = disttorch.tensor(3)
    count.add_(1)
    assert count.item() == 4
    assert count._version == 1
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        disttorch.tensor([1, 2]).hypot_(1)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        disttorch.tensor([1, 2]).remainder_(0)
