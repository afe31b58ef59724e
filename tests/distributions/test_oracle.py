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
    "MultivariateNormal": ([[0.5, -1.0], [[2.0, 0.3], [0.3, 1.0]]], [0.3, 2.0]),
}


@pytest.fixture(autouse=True)
def checks_on():
    """PyTorch's own test tools, which other tests import, turn its checks of parameters off."""
    torch.distributions.Distribution.set_default_validate_args(True)


NOT_DIFFERENTIABLE = {"Bernoulli", "Geometric", "Poisson", "Categorical", "OneHotCategorical"}


def made(lib, name, dtype="float64", grad=False):
    parameters = [lib.tensor(p, dtype=getattr(lib, dtype), requires_grad=grad) for p in CASES[name][0]]
    return parameters, getattr(lib.distributions, name)(*parameters)


def close(ours, theirs, rtol=1e-6, atol=1e-8):
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype) == str(theirs.dtype)
    torch.testing.assert_close(
        torch.from_numpy(ours.detach().clone().numpy()), theirs.detach(), rtol=rtol, atol=atol, equal_nan=True
    )


@pytest.mark.parametrize("name", CASES)
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
        close(getattr(ours, moment), getattr(theirs, moment))
    for function in ("cdf", "icdf"):
        try:
            wanted = getattr(theirs, function)(torch.tensor([0.25, 0.75], dtype=torch.float64))
        except (NotImplementedError, ValueError):
            continue
        close(getattr(ours, function)(disttorch.tensor([0.25, 0.75], dtype=disttorch.float64)), wanted)
    if name != "Poisson":
        close(ours.entropy(), theirs.entropy())
    if name not in {"LogNormal", "HalfNormal", "Chi2", "Beta"}:  # PyTorch's hold another distribution, and show nothing
        assert repr(ours) == repr(theirs)
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


@pytest.mark.parametrize("name", sorted(set(CASES) - NOT_DIFFERENTIABLE - {"Beta", "Dirichlet"}))
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


@pytest.mark.parametrize("name", sorted(set(CASES) - {"Chi2", "LogNormal"}))
def test_divergences(name):
    values = []
    for lib in (disttorch, torch):
        _, p = made(lib, name)
        parameters, _ = made(lib, name)
        flipped = [t if name == "MultivariateNormal" and t.dim() == 2 else t.flip(-1) for t in parameters]
        q = getattr(lib.distributions, name)(*flipped)
        values.append(lib.distributions.kl_divergence(p, q))
    close(*values)


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
