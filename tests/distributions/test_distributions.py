"""Distributions without PyTorch beside them: errors, Independent, enumeration, registered divergences."""

import pytest

import disttorch
from disttorch import distributions as D


def test_a_policy_gradient_step():
    logits = disttorch.zeros(5, 3, requires_grad=True)
    policy = D.Categorical(logits=logits)
    action = policy.sample()
    (-policy.log_prob(action) * disttorch.arange(5.0)).sum().backward()
    hot = disttorch.nn.functional.one_hot(action, 3)
    assert disttorch.allclose(logits.grad, (1 / 3 - hot) * disttorch.arange(5.0)[:, None], atol=1e-6)


def test_the_mean_of_many_samples():
    disttorch.manual_seed(0)
    for d in (
        D.Gamma(2.0, 4.0),
        D.Beta(1.0, 3.0),
        D.Exponential(2.0),
        D.Normal(1.0, 0.5),
        D.Geometric(0.4),
        D.Poisson(3.0),
    ):
        drawn = d.sample((4000,))
        assert abs(drawn.mean() - d.mean) < 6 * d.stddev / 4000**0.5, d


def test_the_gradient_of_gamma_samples():
    """The mean of a gamma sample grows with its concentration at 1 / rate."""
    disttorch.manual_seed(0)
    a = disttorch.full((4000,), 1.5, requires_grad=True)
    D.Gamma(a, 2.0).rsample().mean().backward()
    assert abs(a.grad.sum().item() - 0.5) < 0.05


def test_independent_adds_up():
    base = D.Normal(disttorch.zeros(4, 3), disttorch.ones(3))
    d = D.Independent(base, 1)
    value = d.rsample((2,))
    assert (d.batch_shape, d.event_shape, value.shape) == ((4,), (3,), (2, 4, 3))
    assert disttorch.allclose(d.log_prob(value), base.log_prob(value).sum(-1))
    assert d.entropy().shape == (4,)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        D.Independent(base, 3)


def test_listing_values():
    assert D.Categorical(disttorch.ones(2, 3)).enumerate_support().tolist() == [[0, 0], [1, 1], [2, 2]]
    assert D.Bernoulli(0.5).enumerate_support().tolist() == [0, 1]


def test_values_outside_of_the_support():
    with pytest.raises(ValueError, match="within the support"):
        D.Categorical(disttorch.ones(3)).log_prob(disttorch.tensor(3))
    D.Categorical(disttorch.ones(3), validate_args=False).log_prob(disttorch.tensor(2))


def test_probs_or_logits():
    with pytest.raises(ValueError, match="Either `probs` or `logits` must be specified"):
        D.Bernoulli()
    assert disttorch.allclose(D.Bernoulli(logits=disttorch.tensor(0.0)).probs, disttorch.tensor(0.5))


def test_a_formula_of_ones_own():
    class Mine(D.Normal):
        pass

    @D.register_kl(Mine, D.Normal)
    def mine(p, q):
        return disttorch.tensor(42.0)

    assert D.kl_divergence(Mine(0.0, 1.0), D.Normal(0.0, 1.0)) == 42
    assert D.kl_divergence(D.Normal(0.0, 1.0), Mine(0.0, 1.0)) == 0
    with pytest.raises(NotImplementedError, match="KL"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Cauchy(1.0, 1.0))
    with pytest.raises(TypeError, match="type_p"):
        D.register_kl(int, Mine)


def test_missing_functions_say_so():
    with pytest.raises(NotImplementedError, match="use sample"):
        D.Bernoulli(0.5).rsample()
    with pytest.raises(NotImplementedError, match="cdf"):
        D.Categorical(disttorch.ones(2)).cdf(disttorch.tensor(0))


def test_wishart():
    """Samples and the divergence agree with the density."""
    disttorch.manual_seed(0)
    scale = disttorch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=disttorch.float64)
    p, q = (D.Wishart(disttorch.tensor([4.5, 5.0], dtype=disttorch.float64), m) for m in (scale, scale * 1.5))
    x = p.rsample((20000,))
    assert x.shape == (20000, 2, 2, 2)
    assert disttorch.allclose(x.mean(0), p.mean, rtol=0.03)
    assert disttorch.allclose(x.var(0), p.variance, rtol=0.1)
    ratio = (p.log_prob(x) - q.log_prob(x)).mean(0)
    assert disttorch.allclose(D.kl_divergence(p, q), ratio, atol=0.02)
    assert disttorch.allclose(p.entropy(), -p.log_prob(x).mean(0), atol=0.05)
    inverse = D.Wishart(p.df, precision_matrix=p.precision_matrix)
    assert disttorch.allclose(inverse.scale_tril, p.scale_tril)
    with pytest.raises(AssertionError, match="Exactly one of covariance_matrix"):
        D.Wishart(3.0)
    with pytest.raises(ValueError, match="expected to be greater than ndim - 1 = 1"):
        D.Wishart(1.0, scale)
    with pytest.warns(UserWarning, match="Low df values detected"):
        D.Wishart(1.5, scale)
