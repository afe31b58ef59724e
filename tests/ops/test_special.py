"""Special functions against the standard library, identities and published values."""

import math

import numpy as np
import pytest

import disttorch
from disttorch import special

X = np.linspace(-6, 6, 241)


def double(values):
    return disttorch.tensor(np.asarray(values), dtype=disttorch.float64)


def close(got, want, tolerance=1e-12):
    np.testing.assert_allclose(got.numpy(), np.asarray(want), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("ours", "exact"), [(disttorch.erf, math.erf), (disttorch.erfc, math.erfc)])
def test_error_functions(ours, exact):
    close(ours(double(X)), [exact(x) for x in X], 1e-14)


def test_erfc_keeps_its_digits_far_out():
    x = np.array([5.0, 10.0, 25.0])
    np.testing.assert_allclose(disttorch.erfc(double(x)).numpy(), [math.erfc(v) for v in x], rtol=1e-12)


def test_lgamma():
    x = np.array([1e-8, 0.1, 0.5, 1.0, 1.5, 2.0, 3.7, 12.0, 100.0, 1e6, -0.5, -3.3, -20.7])
    close(disttorch.lgamma(double(x)), [math.lgamma(v) for v in x])
    assert disttorch.lgamma(double([0.0, -1.0, math.inf])).tolist() == [math.inf] * 3


def test_digamma():
    x = double([0.3, 1.0, 4.5, 20.0, -2.4])
    close(disttorch.digamma(x + 1) - disttorch.digamma(x), 1 / x.numpy())  # the recurrence
    assert disttorch.digamma(double([1.0])).item() == pytest.approx(-0.5772156649015329, abs=1e-14)


def test_zeta_and_polygamma():
    close(special.zeta(double([2.0, 4.0]), 1.0), [math.pi**2 / 6, math.pi**4 / 90])
    close(disttorch.polygamma(1, double([1.0, 0.5])), [math.pi**2 / 6, math.pi**2 / 2])


def test_inverses():
    p = np.array([1e-300, 1e-20, 1e-5, 0.3, 0.5, 0.9, 1 - 1e-9])
    close(special.ndtr(special.ndtri(double(p))), p)
    np.testing.assert_allclose(special.log_ndtr(special.ndtri(double(p))).numpy(), np.log(p), rtol=1e-9)
    y = np.array([-0.999999, -0.5, 0.0, 1e-10, 0.99])
    close(disttorch.erf(disttorch.erfinv(double(y))), y)
    assert disttorch.erfinv(double([-1.0, 1.0])).tolist() == [-math.inf, math.inf]


def test_log_ndtr_far_out():
    assert special.log_ndtr(double([-40.0])).item() == pytest.approx(-804.6084420137538, rel=1e-13)


def series(n, x, sign):
    """J_n (sign -1) or I_n (sign 1) by the power series, exact for moderate x."""
    return sum((sign**k) * (x / 2) ** (2 * k + n) / (math.factorial(k) * math.factorial(k + n)) for k in range(60))


@pytest.mark.parametrize(
    ("ours", "n", "sign"),
    [
        (special.bessel_j0, 0, -1), (special.bessel_j1, 1, -1), (disttorch.i0, 0, 1), (special.i1, 1, 1),
    ],
)  # fmt: skip
def test_bessel_functions(ours, n, sign):
    np.testing.assert_allclose(ours(double(X)).numpy(), [series(n, x, sign) for x in X], rtol=1e-11, atol=1e-13)


def test_bessel_functions_join_at_the_change_of_method():
    x = double([25 - 1e-9, 25 + 1e-9])
    for f in (special.bessel_j0, special.bessel_y0, special.bessel_y1, special.i0e, special.scaled_modified_bessel_k1):
        below, above = f(x).tolist()
        assert below == pytest.approx(above, abs=1e-9)


def test_wronskians():
    x = double([0.01, 0.7, 3.0, 12.0, 30.0, 200.0])
    cross = special.bessel_j1(x) * special.bessel_y0(x) - special.bessel_j0(x) * special.bessel_y1(x)
    np.testing.assert_allclose(cross.numpy(), 2 / (math.pi * x.numpy()), rtol=1e-10)
    both = special.i0e(x) * special.scaled_modified_bessel_k1(x) + special.i1e(x) * special.scaled_modified_bessel_k0(x)
    np.testing.assert_allclose(both.numpy(), 1 / x.numpy(), rtol=1e-11)


def test_incomplete_gamma():
    x = np.array([0.01, 0.5, 1.0, 3.0, 40.0])
    close(special.gammainc(double(np.ones(5)), double(x)), -np.expm1(-x))
    close(special.gammaincc(double(np.full(5, 0.5)), double(x)), [math.erfc(math.sqrt(v)) for v in x])


def test_orthogonal_polynomials():
    t = np.linspace(0, math.pi, 9)
    close(special.chebyshev_polynomial_t(double(np.cos(t)), 7), np.cos(7 * t))
    close(special.legendre_polynomial_p(double([0.3]), double([2.0])), [(3 * 0.09 - 1) / 2])
    close(special.hermite_polynomial_h(double([1.5]), 3), [8 * 1.5**3 - 12 * 1.5])


def test_entropy_and_logarithms_at_the_edges():
    assert special.entr(double([-1.0, 0.0, 1.0])).tolist() == [-math.inf, 0.0, 0.0]
    assert special.xlog1py(double([0.0]), double([-1.0])).item() == 0.0
    assert disttorch.xlogy(double([0.0]), double([0.0])).item() == 0.0


def test_float32_is_rounded_once():
    x = np.linspace(0.1, 5, 50, dtype=np.float32)
    for f in (disttorch.lgamma, disttorch.digamma, disttorch.i0, disttorch.erfc):
        exact = f(double(x)).numpy().astype(np.float32)
        assert (f(disttorch.from_numpy(x)).numpy() == exact).all()
