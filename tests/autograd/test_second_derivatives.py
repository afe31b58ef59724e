"""First and second derivatives of the operations, against finite differences, on small float64 samples."""

import numpy as np
import pytest

import disttorch
from disttorch import fft, linalg, special
from disttorch.autograd import gradcheck, gradgradcheck

SEED = 7


def real(*shape, low=-1.5, high=1.5):
    data = np.random.RandomState(SEED + len(shape)).uniform(low, high, shape)
    return disttorch.tensor(data, dtype=disttorch.float64, requires_grad=True)


def positive(*shape):
    return real(*shape, low=0.4, high=2.0)


def inside(*shape):
    return real(*shape, low=-0.8, high=0.8)


def cplx(*shape):
    state = np.random.RandomState(SEED)
    return disttorch.tensor(
        state.randn(*shape) + 1j * state.randn(*shape), dtype=disttorch.complex128, requires_grad=True
    )


def definite(n):
    a = np.random.RandomState(SEED).randn(n, n)
    return disttorch.tensor(a @ a.T + n * np.eye(n), dtype=disttorch.float64, requires_grad=True)


def symmetric(function):
    return lambda a: function((a + a.mT) / 2)


UNARY = {
    "exp": real, "exp2": real, "expm1": real, "log": positive, "log2": positive, "log10": positive, "log1p": positive,
    "sqrt": positive, "rsqrt": positive, "reciprocal": positive, "square": real, "sin": real, "cos": real, "tan":
    inside, "asin": inside, "acos": inside, "atan": real, "sinh": real, "cosh": real, "tanh": real, "asinh": real,
    "atanh": inside, "sigmoid": real, "sinc": positive, "abs": positive, "erf": real, "erfc": real, "erfinv": inside,
    "lgamma": positive, "digamma": positive, "i0": real, "logit": lambda *s: real(*s, low=0.1, high=0.9), "neg": real,
    "frac": positive, "nan_to_num": real, "deg2rad": real,
}  # fmt: skip
INDEX = disttorch.tensor([[0, 2, 1], [1, 0, 2]])
MASK = disttorch.tensor([[True, False, True], [False, True, True]])
CASES = {
    **{name: (getattr(disttorch, name), [make(3)]) for name, make in UNARY.items()},
    "add": (disttorch.add, [real(2, 3), real(3)]),
    "sub": (disttorch.sub, [real(2, 3), real(3)]),
    "mul": (disttorch.mul, [real(2, 3), real(2, 1)]),
    "div": (disttorch.div, [real(2, 3), positive(3)]),
    "pow": (disttorch.pow, [positive(2, 3), real(3)]),
    "pow of a number": (lambda x: 2.0**x, [real(3)]),
    "pow to a number": (lambda x: x**3, [real(3)]),
    "complex mul": (disttorch.mul, [cplx(3), cplx(2, 3)]),
    "complex div": (disttorch.div, [cplx(3), cplx(2, 3)]),
    "complex exp": (disttorch.exp, [cplx(3)]),
    "complex abs": (disttorch.abs, [cplx(3)]),
    "remainder": (disttorch.remainder, [positive(3), positive(2, 3)]),
    "atan2": (disttorch.atan2, [real(3), positive(3)]),
    "hypot": (disttorch.hypot, [positive(3), real(3)]),
    "logaddexp": (disttorch.logaddexp, [real(3), real(2, 3)]),
    "xlogy": (disttorch.xlogy, [positive(3), positive(2, 3)]),
    "maximum": (disttorch.maximum, [real(3), real(2, 3)]),
    "lerp": (disttorch.lerp, [real(3), positive(3), inside(3)]),
    "addcdiv": (lambda a, b, c: disttorch.addcdiv(a, b, c, value=0.5), [real(3), real(3), positive(3)]),
    "where": (lambda a, b: disttorch.where(MASK, a, b), [real(2, 3), positive(3)]),
    "clamp": (lambda x: x.clamp(-1, 1), [inside(3)]),
    "sum": (lambda x: x.sum(1), [real(2, 3)]),
    "mean": (lambda x: x.mean(0, True), [real(2, 3)]),
    "prod": (lambda x: x.prod(1), [real(2, 3)]),
    "var": (lambda x: x.var(1), [real(2, 3)]),
    "std": (lambda x: x.std(0), [real(2, 3)]),
    "logsumexp": (lambda x: x.logsumexp(1), [real(2, 3)]),
    "amax": (lambda x: x.amax(1), [real(2, 3)]),
    "max": (lambda x: x.max(1).values, [real(2, 3)]),
    "cumsum": (lambda x: x.cumsum(1), [real(2, 3)]),
    "cumprod": (lambda x: x.cumprod(1), [real(2, 3)]),
    "logcumsumexp": (lambda x: x.logcumsumexp(1), [real(2, 3)]),
    "sort": (lambda x: x.sort(1).values, [real(2, 3)]),
    "topk": (lambda x: x.topk(2, 1).values, [real(2, 3)]),
    "median": (lambda x: x.median(1).values, [real(2, 3)]),
    "quantile": (lambda x: x.quantile(0.3, 1), [real(2, 3)]),
    "reshape": (lambda x: x.reshape(3, 2) ** 2, [real(2, 3)]),
    "permute": (lambda x: x.permute(2, 0, 1) ** 2, [real(2, 3, 1)]),
    "expand": (lambda x: x.expand(2, 3) ** 2, [real(3)]),
    "repeat": (lambda x: x.repeat(2, 2) ** 2, [real(3)]),
    "narrow": (lambda x: x.narrow(1, 1, 2) ** 2, [real(2, 3)]),
    "diagonal": (lambda x: x.diagonal(1) ** 2, [real(3, 3)]),
    "tril": (lambda x: x.tril() ** 2, [real(3, 3)]),
    "unfold": (lambda x: x.unfold(0, 2, 1) ** 2, [real(4)]),
    "as_strided": (lambda x: (x * 1).as_strided((2, 2), (1, 1), 1) ** 2, [real(4)]),
    "cat": (lambda a, b: disttorch.cat([a, b], 0) ** 2, [real(3), real(2)]),
    "stack": (lambda a, b: disttorch.stack([a, b], 1) ** 2, [real(3), positive(3)]),
    "flip": (lambda x: x.flip(0) ** 2, [real(3)]),
    "roll": (lambda x: x.roll(1, 0) ** 2, [real(3)]),
    "index": (lambda x: x[disttorch.tensor([0, 0, 1])] ** 2, [real(2, 3)]),
    "gather": (lambda x: x.gather(1, INDEX) ** 2, [real(2, 3)]),
    "scatter": (lambda x, s: x.scatter(1, INDEX, s) ** 2, [real(2, 3), positive(2, 3)]),
    "scatter_add": (lambda x, s: x.scatter_add(1, INDEX, s) ** 2, [real(2, 3), positive(2, 3)]),
    "scatter_reduce": (lambda x, s: x.scatter_reduce(1, INDEX, s, "mean") ** 2, [real(2, 3), positive(2, 3)]),
    "index_add": (lambda x, s: x.index_add(0, disttorch.tensor([1, 1]), s) ** 2, [real(2, 3), positive(2, 3)]),
    "masked_fill": (lambda x: x.masked_fill(MASK, 0.5) ** 2, [real(2, 3)]),
    "masked_select": (lambda x: x.masked_select(MASK) ** 2, [real(2, 3)]),
    "matmul": (disttorch.matmul, [real(2, 3), real(3, 2)]),
    "batched matmul": (disttorch.matmul, [real(2, 2, 3), real(3, 2)]),
    "mv": (disttorch.mv, [real(2, 3), real(3)]),
    "einsum": (lambda a, b: disttorch.einsum("bij,bjk->ik", a, b), [real(2, 2, 3), real(2, 3, 2)]),
    "kron": (disttorch.kron, [real(2, 2), real(2)]),
    "inv": (linalg.inv, [definite(3)]),
    "solve": (linalg.solve, [definite(3), real(3, 2)]),
    "solve_triangular": (lambda a, b: linalg.solve_triangular(a, b, upper=True), [definite(3), real(3, 2)]),
    "det": (linalg.det, [definite(3)]),
    "slogdet": (lambda a: linalg.slogdet(a).logabsdet, [definite(3)]),
    "cholesky": (symmetric(linalg.cholesky), [definite(3)]),
    "qr": (linalg.qr, [real(4, 3)]),
    "svdvals": (linalg.svdvals, [real(3, 2)]),
    "eigvalsh": (symmetric(linalg.eigvalsh), [definite(3)]),
    "eigh": (lambda a: linalg.eigh((a + a.mT) / 2).eigenvectors ** 2, [definite(3)]),
    "pinv": (linalg.pinv, [real(3, 2)]),
    "lu": (lambda a: linalg.lu(a)[1:], [real(3, 3)]),
    "matrix_exp": (disttorch.matrix_exp, [real(2, 2)]),
    "matrix_power": (lambda a: linalg.matrix_power(a, 3), [real(2, 2)]),
    "norm": (lambda x: x.norm(), [real(2, 3)]),
    "norm 3": (lambda x: x.norm(3, 1), [real(2, 3)]),
    "nuclear norm": (lambda x: x.norm("nuc"), [real(2, 3)]),
    "cdist": (disttorch.cdist, [real(2, 3), positive(2, 3)]),
    "renorm": (lambda x: x.renorm(2, 0, 0.5), [real(2, 3)]),
    "cross": (lambda a, b: disttorch.cross(a, b, dim=1), [real(2, 3), positive(2, 3)]),
    "cov": (disttorch.cov, [real(2, 3)]),
    "fft": (fft.fft, [cplx(4)]),
    "rfft": (fft.rfft, [real(4)]),
    "irfft": (fft.irfft, [cplx(3)]),
    "i1": (special.i1, [positive(3)]),
    "ndtri": (special.ndtri, [real(3, low=0.2, high=0.8)]),
    "log_ndtr": (special.log_ndtr, [real(3)]),
    "polygamma": (lambda x: disttorch.polygamma(1, x), [positive(3)]),
    "zeta": (lambda x: special.zeta(3.0, x), [positive(3)]),
}


@pytest.mark.parametrize("name", CASES)
def test_first_derivative(name: str) -> None:
    function, inputs = CASES[name]
    assert gradcheck(function, inputs, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_second_derivative(name: str) -> None:
    function, inputs = CASES[name]
    assert gradgradcheck(function, inputs, atol=1e-4, rtol=1e-3)
