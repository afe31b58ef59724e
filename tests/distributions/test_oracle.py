"""Every distribution beside PyTorch's: the same draws from the same seed, densities, moments, gradients."""

import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

CASES = {  # name -> parameters, a value to ask for
    "Normal": ([[0.5, -1.0], [1.0, 2.5]], [0.3, 2.0]),
    "LogNormal": ([[0.5, -1.0], [1.0, 0.5]], [0.3, 2.0]),
    "Laplace": ([[0.5, -1.0], [1.0, 2.5]], [0.3, -2.0]),
    "Uniform": ([[0.5, -1.0], [1.0, 2.5]], [0.7, 2.0]),
    "Exponential": ([[0.5, 2.0]], [0.3, 2.0]),
    "HalfNormal": ([[0.5, 2.0]], [0.3, 2.0]),
    "Gamma": ([[0.5, 3.0], [1.0, 2.5]], [0.3, 2.0]),
    "Chi2": ([[1.5, 3.0]], [0.3, 2.0]),
    "Beta": ([[0.5, 3.0], [1.0, 2.5]], [0.3, 0.8]),
    "Dirichlet": ([[0.5, 3.0, 1.0]], [0.2, 0.5, 0.3]),
    "Bernoulli": ([[0.3, 0.9]], [1.0, 0.0]),
    "Geometric": ([[0.3, 0.9]], [4.0, 0.0]),
    "Poisson": ([[0.3, 6.0]], [1.0, 4.0]),
    "Categorical": ([[[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]], [2, 0]),
    "OneHotCategorical": ([[0.2, 0.5, 0.3]], [0.0, 1.0, 0.0]),
    "Binomial": ([[5.0, 100.0, 7.0], [0.3, 0.4, 0.9]], [2.0, 40.0, 7.0]),
    "NegativeBinomial": ([[5.0, 2.5], [0.3, 0.9]], [2.0, 4.0]),
    "Multinomial": ([5, [0.2, 0.5, 0.3]], [2.0, 2.0, 1.0]),
    "Cauchy": ([[0.5, -1.0], [1.0, 2.5]], [0.3, -2.0]),
    "HalfCauchy": ([[0.5, 2.0]], [0.3, 2.0]),
    "StudentT": ([[1.5, 5.0, 0.5], [0.5, -1.0, 0.0], [1.0, 2.0, 3.0]], [0.3, -2.0, 1.0]),
    "FisherSnedecor": ([[1.5, 5.0], [3.0, 9.0]], [0.3, 2.0]),
    "InverseGamma": ([[0.5, 3.0], [1.0, 2.5]], [0.3, 2.0]),
    "Gumbel": ([[0.5, -1.0], [1.0, 2.5]], [0.3, -2.0]),
    "Weibull": ([[0.5, 1.0], [1.5, 2.5]], [0.3, 2.0]),
    "Pareto": ([[0.5, 1.0], [1.5, 2.5]], [0.7, 2.0]),
    "Kumaraswamy": ([[0.5, 3.0], [1.5, 2.5]], [0.3, 0.8]),
    "LogisticNormal": ([[0.5, -1.0], [1.0, 0.5]], [0.2, 0.5, 0.3]),
    "RelaxedBernoulli": ([0.7, [0.3, 0.9]], [0.2, 0.5]),
    "RelaxedOneHotCategorical": ([0.7, [0.2, 0.5, 0.3]], [0.2, 0.5, 0.3]),
    "OneHotCategoricalStraightThrough": ([[0.2, 0.5, 0.3]], [0.0, 1.0, 0.0]),
    "VonMises": ([[0.5, -1.0], [1.0, 8.0]], [0.3, 2.0]),
    "ContinuousBernoulli": ([[0.9, 0.4999]], [0.2, 0.7]),
    "LKJCholesky": ([3, [0.7, 2.0]], [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]]),
    "Wishart": ([[3.5, 5.0], [[2.0, 0.3], [0.3, 1.0]]], [[1.5, 0.2], [0.2, 0.7]]),
    "LowRankMultivariateNormal": ([[0.5, -1.0], [[2.0], [0.3]], [0.3, 1.0]], [0.3, 2.0]),
    "MultivariateNormal": ([[0.5, -1.0], [[2.0, 0.3], [0.3, 1.0]]], [0.3, 2.0]),
}


@pytest.fixture(autouse=True)
def checks_on():
    """PyTorch's own test tools, which other tests import, turn its checks of parameters off."""
    torch.distributions.Distribution.set_default_validate_args(True)


DIFFERENTIABLE = [name for name in CASES if getattr(torch.distributions, name).has_rsample is not False]


def outcome(compute):
    """What a call gives, or which error: some moments do not exist."""
    try:
        return compute()
    except (NotImplementedError, ValueError) as error:
        return error


def same(compute, ours, theirs, *tolerances):
    """compute(library, distribution) gives the same values from both, or NotImplementedError from both."""
    found, wanted = outcome(lambda: compute(disttorch, ours)), outcome(lambda: compute(torch, theirs))
    assert isinstance(found, Exception) == isinstance(wanted, Exception), (found, wanted)
    if isinstance(wanted, Exception):
        assert isinstance(found, type(wanted))
    else:
        close(found, wanted, *tolerances)


def made(lib, name, dtype="float64", grad=False):
    kind = getattr(lib, dtype)
    given = [p if isinstance(p, int) else lib.tensor(p, dtype=kind, requires_grad=grad) for p in CASES[name][0]]
    return [p for p in given if not isinstance(p, int)], getattr(lib.distributions, name)(*given)


def close(ours, theirs, rtol=1e-6, atol=1e-8):
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype) == str(theirs.dtype)
    torch.testing.assert_close(
        torch.from_numpy(ours.detach().clone().numpy()), theirs.detach(), rtol=rtol, atol=atol, equal_nan=True
    )


# PyTorch takes its second draw of a Wishart, with a warning that the first one, which is none, is singular.
@pytest.mark.parametrize("name", [name for name in CASES if name != "Wishart"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples(name, dtype):
    (_, ours), (_, theirs) = made(disttorch, name, dtype), made(torch, name, dtype)
    for shape in [(), (3,), (2, 5)]:
        disttorch.manual_seed(3), torch.manual_seed(3)
        close(ours.sample(shape), theirs.sample(shape), 1e-5)
        assert disttorch.rand(1).item() == torch.rand(1).item()


@pytest.mark.parametrize("name", CASES)
def test_densities_and_moments(name):
    (_, ours), (_, theirs) = made(disttorch, name), made(torch, name)
    value = CASES[name][1]
    close(
        ours.log_prob(disttorch.tensor(value, dtype=disttorch.float64)),
        theirs.log_prob(torch.tensor(value, dtype=torch.float64)),
    )
    for moment in ("mean", "variance", "stddev", "mode"):
        same(lambda lib, d, moment=moment: getattr(d, moment), ours, theirs, 1e-5)
    for function in ("cdf", "icdf"):
        same(lambda lib, d, f=function: getattr(d, f)(lib.tensor([0.25, 0.75], dtype=lib.float64)), ours, theirs)
    if name != "Poisson":
        same(lambda lib, d: d.entropy(), ours, theirs)
    if name not in {"Beta"}:  # PyTorch's holds another distribution, and shows nothing
        assert repr(ours) == repr(theirs)
    assert (repr(ours.support), ours.has_rsample) == (repr(theirs.support), theirs.has_rsample)
    assert (tuple(ours.batch_shape), tuple(ours.event_shape)) == (tuple(theirs.batch_shape), tuple(theirs.event_shape))
    wide = ours.expand((4, *ours.batch_shape))
    assert tuple(wide.batch_shape) == (4, *ours.batch_shape)
    assert wide.sample().shape == (4, *ours.batch_shape, *ours.event_shape)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_densities(name):
    value = CASES[name][1]
    found = []
    for lib in (disttorch, torch):
        parameters, d = made(lib, name, grad=True)
        d.log_prob(lib.tensor(value, dtype=lib.float64)).sum().backward()
        found.append([p.grad for p in parameters])
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            close(ours, theirs, 1e-5)


@pytest.mark.parametrize("name", sorted(set(DIFFERENTIABLE) - {"Beta", "Dirichlet", "Chi2", "Wishart"}))
def test_gradients_of_samples(name):
    found = []
    for lib in (disttorch, torch):
        lib.manual_seed(1)
        parameters, d = made(lib, name, grad=True)
        sample = d.rsample((6,))
        (sample * lib.arange(1, 7, dtype=lib.float64).reshape(6, *[1] * (sample.dim() - 1))).pow(2).sum().backward()
        found.append([p.grad for p in parameters])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, 2e-3)  # PyTorch's own derivative of a gamma sample is approximate


@pytest.mark.parametrize("name", sorted(set(CASES) - {"Wishart"}))  # PyTorch's is negative
def test_divergences(name):
    pairs = []
    for lib in (disttorch, torch):
        _, p = made(lib, name)
        counts = [n for n in CASES[name][0] if isinstance(n, int)]
        parameters = [
            t.flip(-1) if t.dim() == 1 and not (name == "Binomial" and t[0] == 5) else t for t in made(lib, name)[0]
        ]
        pairs.append((p, getattr(lib.distributions, name)(*counts, *parameters)))
    same(lambda lib, pq: lib.distributions.kl_divergence(*pq), *pairs)


PAIRED = ["Bernoulli", "Beta", "Binomial", "Exponential", "Gamma", "Gumbel", "Laplace", "Normal", "Pareto", "Poisson"]
PAIRED += ["ContinuousBernoulli", "Uniform", "HalfNormal", "Cauchy", "MultivariateNormal", "LowRankMultivariateNormal"]


@pytest.mark.parametrize("p", PAIRED)
@pytest.mark.parametrize("q", PAIRED)
def test_divergences_between_kinds(p, q):
    pairs = [
        [
            getattr(lib.distributions, n)(
                *(t if n == "LowRankMultivariateNormal" or t.dim() > 1 else t[:2] for t in made(lib, n)[0])
            )
            for n in (p, q)
        ]
        for lib in (disttorch, torch)
    ]
    same(lambda lib, pq: lib.distributions.kl_divergence(*pq), *pairs, 1e-6)


@pytest.mark.parametrize("kind", ["covariance_matrix", "precision_matrix", "scale_tril"])
def test_multivariate_normal_parameters(kind):
    matrix = [[2.0, 0.0], [0.5, 1.0]] if kind == "scale_tril" else [[2.0, 0.5], [0.5, 1.0]]
    ours, theirs = (
        lib.distributions.MultivariateNormal(lib.zeros(3, 2), **{kind: lib.tensor(matrix)})
        for lib in (disttorch, torch)
    )
    for name in ("covariance_matrix", "precision_matrix", "scale_tril"):
        close(getattr(ours, name), getattr(theirs, name), 1e-5, 1e-6)
    assert tuple(ours.batch_shape) == (3,)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("Normal", (0.0, -1.0)), ("Categorical", ([0.5, -0.5],)), ("Uniform", (1.0, 0.0)), ("Bernoulli", (1.5,))],
)
def test_bad_parameters(name, parameters):
    texts = []
    for lib in (disttorch, torch):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the texts are compared
            getattr(lib.distributions, name)(*map(lib.tensor, parameters))
        texts.append(str(caught.value))
    assert texts[0].splitlines()[0] == texts[1].splitlines()[0]


def test_generalized_pareto():
    """In float32: PyTorch's own compares with a float32 zero."""
    found = []
    for lib in (disttorch, torch):
        d = lib.distributions.GeneralizedPareto(*map(lib.tensor, ([0.5, 1.0, 0.0], [1.5, 2.5, 1.0], [0.3, -0.2, 0.0])))
        x = lib.tensor([0.7, 2.0, 1.0])
        u = lib.tensor([0.2, 0.5, 0.9])
        lib.manual_seed(0)
        found.append([d.sample((3,)), d.log_prob(x), d.cdf(x), d.icdf(u), d.log_survival_function(x), d.log_cdf(x)])
        found[-1] += [d.mean, d.variance, d.mode, d.entropy(), d.support.upper_bound]
        assert repr(d).startswith("GeneralizedPareto(loc: torch.Size([3]), scale: ")
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, 1e-5, 1e-6)
