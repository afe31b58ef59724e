"""Decompositions put together again, solutions put in, and errors of matrices that have none."""

import numpy as np
import pytest

import disttorch
from disttorch import linalg

STATE = np.random.RandomState(3)
A = disttorch.from_numpy(STATE.randn(2, 4, 4))
TALL = disttorch.from_numpy(STATE.randn(2, 5, 3))
COMPLEX = disttorch.from_numpy(STATE.randn(3, 3) + 1j * STATE.randn(3, 3))
EYE = disttorch.eye(4, dtype=disttorch.float64)


def close(a, b):
    assert disttorch.allclose(a, b, atol=1e-10), (a, b)


@pytest.mark.parametrize("a", [A, TALL, TALL.mT, COMPLEX])
def test_factors_multiply_to_the_matrix(a):
    q, r = linalg.qr(a)
    close(q @ r, a)
    u, s, vh = linalg.svd(a, full_matrices=False)
    close(u * s.to(u.dtype).unsqueeze(-2) @ vh, a)
    p, lower, upper = linalg.lu(a)
    close(p @ lower @ upper, a)
    close(a @ linalg.pinv(a) @ a, a)


def test_symmetric_factors():
    s = A @ A.mT + EYE
    factor = linalg.cholesky(s)
    close(factor @ factor.mT, s)
    close(linalg.cholesky(s, upper=True).mT, factor)
    values, vectors = linalg.eigh(s)
    close(vectors * values.unsqueeze(-2) @ vectors.mT, s)
    close(disttorch.cholesky_inverse(factor), linalg.inv(s))


def test_eigenvectors():
    values, vectors = linalg.eig(A)
    close(A.to(values.dtype) @ vectors, vectors * values.unsqueeze(-2))


def test_solutions():
    b = disttorch.from_numpy(STATE.randn(2, 4, 3))
    close(A @ linalg.solve(A, b), b)
    close(linalg.solve(A, b.mT, left=False) @ A, b.mT)
    close(A @ linalg.inv(A), EYE.expand(2, 4, 4))
    close(A.triu() @ linalg.solve_triangular(A, b, upper=True), b)
    close(linalg.lu_solve(*linalg.lu_factor(A), b), linalg.solve(A, b))
    close(linalg.lstsq(TALL, TALL @ b[:, :3]).solution, b[:, :3])


def test_determinants_and_functions():
    sign, value = linalg.slogdet(A)
    close(sign * value.exp(), linalg.det(A))
    close(linalg.matrix_power(A, -2), linalg.inv(A @ A))
    close(disttorch.matrix_exp(A) @ disttorch.matrix_exp(-A), EYE.expand(2, 4, 4))
    assert linalg.matrix_rank(TALL @ TALL.mT).tolist() == [3, 3]


def test_the_gradient_of_a_singular_determinant():
    a = disttorch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=disttorch.float64, requires_grad=True)
    linalg.det(a).backward()
    close(a.grad, disttorch.tensor([[4.0, -2.0], [-2.0, 1.0]], dtype=disttorch.float64))


def test_matrices_without_an_inverse():
    with pytest.raises(
        linalg.LinAlgError, match="The diagonal element 2 is zero, the inversion could not be completed"
    ):
        linalg.inv(disttorch.ones(2, 2))
    assert linalg.inv_ex(disttorch.ones(2, 2)).info.item() == 2
    with pytest.raises(linalg.LinAlgError, match="the leading minor of order 1 is not positive-definite"):
        linalg.cholesky(-disttorch.eye(2))
    assert linalg.cholesky_ex(-disttorch.eye(2)).info.item() == 1


def test_wrong_arguments():
    with pytest.raises(RuntimeError, match="A must be batches of square matrices, but they are 2 by 3 matrices"):
        linalg.inv(disttorch.ones(2, 3))
    with pytest.raises(RuntimeError, match="The input tensor A must have at least 2 dimensions"):
        linalg.det(disttorch.ones(2))
    with pytest.raises(RuntimeError, match=r"Expected a floating point or complex tensor as input\. Got Long"):
        linalg.svd(disttorch.ones(2, 2, dtype=disttorch.int64))


def test_norms():
    m = disttorch.tensor([[3.0, 0.0], [0.0, -4.0]])
    assert linalg.norm(m).item() == 5.0
    assert linalg.norm(m, "nuc").item() == 7.0
    assert linalg.norm(m, 2).item() == 4.0
    assert linalg.norm(m, float("inf")).item() == 4.0
    assert linalg.vector_norm(m, 0).item() == 2.0
    assert m.norm(1, dim=0).tolist() == [3.0, 4.0]


def test_a_product_may_be_added_to_its_own_factor():
    """PyTorch's result depends on the processor: some of its kernels read what they have written."""
    for factor in (lambda x: x, disttorch.Tensor.t):
        x = disttorch.arange(16.0).reshape(4, 4)
        expected = x + factor(x) @ x
        assert disttorch.equal(x.addmm_(factor(x), x), expected)
