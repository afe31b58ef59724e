"""Transforms beside PyTorch's: values, inverses, Jacobians, shapes, printed forms; registries; what is made of them."""

import copy

import pytest

import disttorch
from disttorch import distributions as D

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

NUMBERS, POSITIVE = [[-1.5, 0.3, 2.0], [0.1, -0.2, 4.0]], [[0.5, 0.3, 2.0], [0.1, 1.2, 4.0]]
TRANSFORMS = {
    "ExpTransform()": NUMBERS,
    "ExpTransform().inv": POSITIVE,
    "SigmoidTransform()": NUMBERS,
    "SoftplusTransform()": NUMBERS,
    "TanhTransform()": NUMBERS,
    "TanhTransform(cache_size=1)": NUMBERS,
    "AbsTransform()": NUMBERS,
    "PowerTransform(lib.tensor(2.5))": POSITIVE,
    "AffineTransform(1.0, -2.0)": NUMBERS,
    "AffineTransform(lib.tensor([1.0, 2.0, 3.0]), lib.tensor(0.5), event_dim=1)": NUMBERS,
    "SoftmaxTransform()": NUMBERS,
    "StickBreakingTransform()": NUMBERS,
    "CorrCholeskyTransform()": NUMBERS,
    "LowerCholeskyTransform()": [[[0.5, 0.0], [1.0, -0.3]]],
    "PositiveDefiniteTransform()": [[[0.5, 0.0], [1.0, -0.3]]],
    "ReshapeTransform((3,), (3, 1))": NUMBERS,
    "IndependentTransform(T.ExpTransform(), 1)": NUMBERS,
    "ComposeTransform([T.AffineTransform(1.0, 2.0), T.StickBreakingTransform()])": NUMBERS,
    "ComposeTransform([T.ExpTransform(), T.AffineTransform(1.0, 2.0)], cache_size=1)": NUMBERS,
    "identity_transform": NUMBERS,
    "CumulativeDistributionTransform(lib.distributions.Normal(0.0, 2.0))": NUMBERS,
    "CatTransform([T.ExpTransform(), T.AffineTransform(0.0, 3.0)], -1, [1, 2])": NUMBERS,
    "StackTransform([T.ExpTransform(), T.AffineTransform(0.0, 3.0)], 0)": NUMBERS,
}
BOTH = (disttorch, torch)


def made(code, lib):
    return eval(f"T.{code}", {"T": lib.distributions.transforms, "lib": lib})


def outcome(compute):
    try:
        found = compute()
    except (NotImplementedError, ValueError, AttributeError) as error:
        return type(error)
    if hasattr(found, "tolist"):
        return torch.tensor(found.tolist())
    return tuple(found) if isinstance(found, (list, tuple)) else found


def seen(code, values, lib):
    t = made(code, lib)
    x = lib.tensor(values)
    y = t(x)
    constraints = [lambda: repr(t.domain), lambda: repr(t.codomain), lambda: t.event_dim, lambda: t.domain.is_discrete]
    numbers = [lambda: y, lambda: t.inv(y), lambda: t.log_abs_det_jacobian(x, y), lambda: t.inv.inv(x)]
    shapes = [lambda: t.forward_shape(x.shape), lambda: t.inverse_shape(y.shape)]
    signs = [lambda: t.sign, lambda: t.bijective, lambda: t.codomain.check(y), lambda: t.domain.check(x)]
    again = [lambda: repr(t), lambda: repr(t.inv), lambda: t == made(code, lib), lambda: t.with_cache(1)(x)]
    return [outcome(part) for part in constraints + numbers + shapes + signs + again]


@pytest.mark.parametrize("code", TRANSFORMS)
def test_transforms(code):
    ours, theirs = (seen(code, TRANSFORMS[code], lib) for lib in BOTH)
    for mine, wanted in zip(ours, theirs, strict=True):
        expect(mine, wanted)


def expect(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True)
    else:
        assert ours == theirs


CONSTRAINTS = ["real", "positive", "unit_interval", "interval(-2.0, 5.0)", "less_than(3.0)", "greater_than_eq(1.0)"]
CONSTRAINTS += ["simplex", "real_vector", "lower_cholesky", "positive_definite", "corr_cholesky", "boolean"]
CONSTRAINTS += ["half_open_interval(0.0, 1.0)", "independent(C.positive, 1)", "integer_interval(0, 3)"]
CONSTRAINTS += ["cat([C.positive, C.real], -1, [1, 2])", "stack([C.positive, C.real, C.real], -1)"]


@pytest.mark.parametrize("code", CONSTRAINTS)
@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_registries(code, registry):
    found = []
    for lib in BOTH:
        constraint = eval(f"C.{code}", {"C": lib.distributions.constraints})

        def reach(lib=lib, constraint=constraint):
            square = constraint.event_dim == 2 and "corr" not in code
            return getattr(lib.distributions, registry)(constraint)(
                lib.tensor(NUMBERS * 3)[:3] if square else lib.tensor(NUMBERS)
            )

        found.append(outcome(reach))
    expect(*found)


def test_a_registration_of_ones_own():
    registry = D.constraint_registry.ConstraintRegistry()
    registry.register(D.constraints.positive, lambda c: D.SoftplusTransform())
    assert registry(D.constraints.greater_than(2.0)) == D.SoftplusTransform()
    with pytest.raises(NotImplementedError, match="Cannot transform _Real constraints"):
        registry(D.constraints.real)
    with pytest.raises(TypeError, match="Expected constraint to be either"):
        registry.register(3)(lambda constraint: None)


def test_values_of_constraints():
    """Each constraint says of each value what PyTorch's says."""
    values = [[[0.25, 0.75], [0.5, 0.5]], [[1.0, 0.0], [0.6, 0.8]], [[2.0, 1.0], [1.0, 2.0]], [[-1.0, 3.0], [0.0, 1.0]]]
    names = [
        n for n in dir(torch.distributions.constraints) if hasattr(getattr(torch.distributions.constraints, n), "check")
    ]
    names = [n for n in names if not isinstance(getattr(torch.distributions.constraints, n), type) and n != "dependent"]
    assert len(names) > 15
    for name in names:
        ours, theirs = (getattr(lib.distributions.constraints, name) for lib in BOTH)
        assert repr(ours) == repr(theirs)
        assert (ours.event_dim, ours.is_discrete) == (theirs.event_dim, theirs.is_discrete)
        assert ours.check(disttorch.tensor(values)).tolist() == theirs.check(torch.tensor(values)).tolist(), name


class Policies:
    """The distribution that actors of reinforcement learning are written with, from either library."""

    def __init__(self, lib):
        class SquashedNormal(lib.distributions.TransformedDistribution):
            def __init__(self, loc, scale):
                self.loc, self.scale = loc, scale
                base = lib.distributions.Normal(loc, scale)
                super().__init__(base, [lib.distributions.transforms.TanhTransform(cache_size=1)])

            @property
            def mean(self):
                mean = self.loc
                for transform in self.transforms:
                    mean = transform(mean)
                return mean

        self.policy = SquashedNormal(lib.tensor([0.5, 2.0], requires_grad=True), lib.tensor([1.0, 0.1]))
        lib.manual_seed(0)
        action = self.policy.rsample((3,))
        self.log_prob = self.policy.log_prob(action)
        self.log_prob.sum().backward()
        self.values = [action, self.log_prob, self.policy.mean, self.policy.loc.grad, self.policy.cdf(action)]


def test_a_squashed_policy():
    ours, theirs = map(Policies, BOTH)
    assert repr(ours.policy) == repr(theirs.policy) == "SquashedNormal()"
    for mine, wanted in zip(ours.values, theirs.values, strict=True):
        torch.testing.assert_close(torch.tensor(mine.tolist()), wanted.detach(), rtol=1e-4, atol=1e-5)


def test_shapes_of_transformed_distributions():
    for lib in BOTH:
        d = lib.distributions
        t = d.TransformedDistribution(d.Normal(lib.zeros(2, 3), 1.0), d.StickBreakingTransform())
        assert (t.batch_shape, t.event_shape, t.sample((5,)).shape) == ((2,), (4,), (5, 2, 4))
        assert repr(t.base_dist) == "Independent(Normal(loc: torch.Size([2, 3]), scale: torch.Size([2, 3])), 1)"
        assert (t.expand((7, 2)).batch_shape, t.expand((7, 2)).sample().shape) == ((7, 2), (7, 2, 4))
        wide = d.TransformedDistribution(d.Normal(0.0, 1.0), d.AffineTransform(lib.zeros(4), 2.0))
        assert (wide.batch_shape, wide.base_dist.batch_shape) == ((4,), (4,))
        with pytest.raises(ValueError, match="transforms must be a Transform or list, but was 3"):
            d.TransformedDistribution(d.Normal(0.0, 1.0), 3)
        with pytest.raises(ValueError, match="base_distribution needs to have shape with size at least 1, but got"):
            d.TransformedDistribution(d.Normal(0.0, 1.0), d.SoftmaxTransform())


def test_a_mixture():
    found, shown = [], []
    for lib in BOTH:
        d = lib.distributions
        parts = d.Independent(d.Normal(lib.arange(12.0).reshape(2, 3, 2), lib.ones(2, 3, 2)), 1)
        m = d.MixtureSameFamily(d.Categorical(lib.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])), parts)
        lib.manual_seed(0)
        x = m.sample((4,))
        wide = m.expand((3, 2))
        found.append([x, m.log_prob(x), m.mean, m.variance, m.stddev, wide.log_prob(x[:3])])
        assert repr(m.support) == "MixtureSameFamilyConstraint(IndependentConstraint(Real(), 1))"
        shown.append(repr(m))
        with pytest.raises(ValueError, match=r"mixture_distribution component` \(2\) does not equal"):
            d.MixtureSameFamily(d.Categorical(lib.ones(2)), d.Normal(lib.zeros(3), 1.0))
        numbers = d.MixtureSameFamily(d.Categorical(lib.ones(2)), d.Normal(lib.tensor([-1.0, 2.0]), lib.ones(2)))
        found[-1].append(numbers.cdf(lib.tensor([0.0, 1.5])))
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(torch.tensor(mine.tolist()), wanted, rtol=1e-5, atol=1e-6)
    assert shown[0] == shown[1]


def test_a_distribution_without_tables_warns():
    for lib in BOTH:

        class Bare(lib.distributions.Distribution):
            pass

        with pytest.warns(UserWarning, match="does not define `arg_constraints`"):
            bare = Bare()
        with pytest.warns(UserWarning, match="does not define `support`"):
            bare._validate_sample(lib.zeros(()))


@pytest.mark.parametrize(
    ("make", "value"),
    [
        ("Normal(lib.zeros(3), 1.0)", "lib.zeros(2)"),
        ("Independent(lib.distributions.Normal(lib.zeros(3), 1.0), 1)", "lib.zeros(2)"),
        ("Dirichlet(lib.ones(3))", "lib.ones(2) / 2"),
        ("Dirichlet(lib.ones(3))", "lib.ones(3)"),
        ("Multinomial(3, lib.ones(3))", "lib.ones(3) * 2"),
        ("Normal(0.0, 1.0)", "0.5"),
        ("Binomial(3, lib.tensor(0.5))", "lib.tensor(4.0)"),
        ("Binomial(lib.tensor([2, 3]), lib.tensor(0.5)).entropy()", "None"),
        ("Multinomial(lib.tensor(3), lib.ones(3))", "None"),
        ("Independent(lib.distributions.Bernoulli(lib.zeros(3)), 1).enumerate_support()", "None"),
        ("StudentT(-1.0)", "None"),
        ("Weibull(lib.ones(2), lib.tensor([1.0, -1.0]))", "None"),
        ("Weibull(lib.ones(2), 'a')", "None"),
        ("LowRankMultivariateNormal(lib.zeros(3), lib.ones(2, 1), lib.ones(3))", "None"),
        ("VonMises(0.0, 0.0)", "None"),
    ],
)
def test_errors(make, value):
    texts = []
    for lib in BOTH:
        with pytest.raises((ValueError, NotImplementedError)) as caught:
            eval(f"lib.distributions.{make}.log_prob({value})", {"lib": lib})
        texts.append((caught.type, str(caught.value).split("\n")[0]))
    assert texts[0] == texts[1]


def test_helpers():
    for lib in BOTH:
        u = lib.distributions.utils
        matrix = u.vec_to_tril_matrix(lib.arange(1.0, 7.0))
        assert matrix.tolist() == [[1, 0, 0], [2, 3, 0], [4, 5, 6]]
        assert u.tril_matrix_to_vec(matrix, -1).tolist() == [2, 4, 5]
        with pytest.raises(ValueError, match="which cannot be expressed as the lower triangular part"):
            u.vec_to_tril_matrix(lib.ones(5))
        with pytest.raises(ValueError, match=r"diag \(3\) provided is outside \[-3, 2\]"):
            u.tril_matrix_to_vec(matrix, 3)
        assert u.broadcast_all(1, lib.zeros(2))[0].tolist() == [1, 1]
        assert isinstance(lib.broadcast_tensors(lib.zeros(2), lib.zeros(1)), tuple)
    assert type(copy.deepcopy(D.ExpTransform().inv)) is type(D.ExpTransform().inv)


def test_files_of_distributions():
    """The names of PyTorch's files hold their classes."""
    import importlib

    for name in torch.distributions.__all__:
        kind = getattr(torch.distributions, name)
        if hasattr(D, name) and isinstance(kind, type):
            file = importlib.import_module(kind.__module__.replace("torch", "disttorch", 1))
            assert getattr(file, name) is getattr(D, name)


def test_expanding_subclasses():
    class Mine(D.Normal):
        def __init__(self, loc, extra):
            self.extra = extra
            super().__init__(loc, 1.0)

        def expand(self, batch_shape, _instance=None):
            new = self._get_checked_instance(Mine, _instance)
            new.extra = self.extra
            return super().expand(batch_shape, _instance=new)

    wide = Mine(disttorch.zeros(2), "e").expand((3, 2))
    assert (type(wide), wide.extra, wide.loc.shape, wide.sample().shape) == (Mine, "e", (3, 2), (3, 2))

    class Other(Mine):
        def __init__(self):
            super().__init__(disttorch.zeros(2), "o")

    with pytest.raises(NotImplementedError, match=r"must also define a custom \.expand\(\) method"):
        Other().expand((3, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binomial_draws(dtype):
    found = []
    for lib in BOTH:
        lib.manual_seed(1)
        n = lib.tensor([0, 1, 7, 40, 100, 10000] * 50, dtype=getattr(lib, dtype)).reshape(-1, 6)
        p = lib.rand(50, 6, dtype=getattr(lib, dtype))
        p[0] = lib.tensor([0.0, 1.0, 0.5, 1.0, 0.25, 1e-4])
        drawn = lib.binomial(n, p)
        found.append([drawn.tolist(), lib.rand(1).item()])
        assert drawn.dtype == n.dtype
        with pytest.raises(RuntimeError, match="Found dtype Half but expected"):
            lib.binomial(n, lib.zeros(1, dtype=lib.float16))
    assert found[0] == found[1]
