"""Our streams of random numbers beside PyTorch's: the same values, and afterwards the same state."""

import ml_dtypes
import numpy as np
import pytest

from disttorch import sampling
from disttorch.streams import MersenneTwister

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

SIZES = [1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 100, 5001, 20000, 150000]
SEEDS = [0, 3, 2**32 + 5, 2**64 - 1]
FLOATING = ["float16", "bfloat16", "float32", "float64"]
INTEGRAL = ["uint8", "int8", "int16", "int32", "int64"]
SPARE = slice(628 * 8, 629 * 8)  # where the state keeps the second normal of a pair


def np_type(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def array(t):
    return t.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if t.dtype == torch.bfloat16 else t.numpy()


class Pair:
    """Our stream and PyTorch's generator, drawn from together."""

    def __init__(self, seed):
        self.stream, self.generator = MersenneTwister(seed), torch.Generator().manual_seed(seed)

    def check(self, ours, theirs, ulps=0):
        theirs = array(theirs)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if ulps:
            np.testing.assert_allclose(ours, theirs, rtol=ulps * np.finfo(theirs.dtype).eps, atol=1e-300)
        else:
            np.testing.assert_array_equal(ours, theirs)
        mine, other = self.stream.state(), self.generator.get_state().numpy()
        spare = [state[SPARE].copy().view("<f8")[0] for state in (mine, other)]
        assert spare[0] == pytest.approx(spare[1], rel=1e-15)
        mine[SPARE] = other[SPARE] = 0
        np.testing.assert_array_equal(mine, other)


@pytest.fixture(params=SEEDS)
def pair(request):
    return Pair(request.param)


@pytest.mark.parametrize("dtype", [*FLOATING, "complex64", "complex128"])
def test_uniform_and_normal(pair, dtype):
    kind, t, s, g = np_type(dtype), getattr(torch, dtype), pair.stream, pair.generator
    last = {"float64": 4, "complex128": 40}.get(dtype, 0)  # ulps; of complex numbers, in terms of the modulus
    for n in SIZES:
        pair.check(sampling.uniform(s, (n,), kind), torch.rand(n, dtype=t, generator=g))
        pair.check(sampling.normal(s, (n,), kind), torch.randn(n, dtype=t, generator=g), last)
        if kind.kind != "c":
            pair.check(
                sampling.uniform(s, (n,), kind, -0.3, 2.7), torch.empty(n, dtype=t).uniform_(-0.3, 2.7, generator=g)
            )
            pair.check(
                sampling.normal(s, (n,), kind, 1.5, 0.2), torch.empty(n, dtype=t).normal_(1.5, 0.2, generator=g), last
            )
            apart = torch.empty(2 * n, dtype=t)[::2].normal_(1.5, 0.2, generator=g)
            pair.check(sampling.normal(s, (n,), kind, 1.5, 0.2, contiguous=False), apart, last)


@pytest.mark.parametrize("dtype", FLOATING)
def test_other_distributions(pair, dtype):
    kind, t, s, g = np_type(dtype), getattr(torch, dtype), pair.stream, pair.generator
    last = 4 if dtype == "float64" else 0
    for n in SIZES:
        out = torch.empty(n, dtype=t)
        pair.check(sampling.exponential(s, (n,), kind, 2.5), out.exponential_(2.5, generator=g), last)
        pair.check(sampling.log_normal(s, (n,), kind, 0.5, 0.25), out.log_normal_(0.5, 0.25, generator=g), last)
        pair.check(sampling.geometric(s, (n,), kind, 0.3), out.geometric_(0.3, generator=g))
        # the tangent's zero is ill-conditioned
        pair.check(sampling.cauchy(s, (n,), kind, 0.5, 2.5), out.cauchy_(0.5, 2.5, generator=g), last and 10000)
        pair.check(sampling.bernoulli(s, (n,), 0.3).astype(kind), out.bernoulli_(0.3, generator=g))
        p = torch.linspace(0, 1, n).to(t)
        pair.check(sampling.bernoulli(s, (n,), array(p)).astype(kind), torch.bernoulli(p, generator=g))


@pytest.mark.parametrize("dtype", [*FLOATING, *INTEGRAL, "bool"])
def test_integers(pair, dtype):
    kind, t, s, g = np_type(dtype), getattr(torch, dtype), pair.stream, pair.generator
    for n in SIZES:
        pair.check(sampling.any_integers(s, (n,), kind), torch.empty(n, dtype=t).random_(generator=g))
        if dtype != "bool":
            pair.check(sampling.integers(s, (n,), kind, 3, 100), torch.randint(3, 100, (n,), dtype=t, generator=g))


RANGES = [(-5, 2**40), (0, 2**28 - 1), (0, 2**28), (-(2**63), 2**63 - 1), (0, 1), (-3, 61)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_wide_integers(pair, low, high):
    for n in SIZES:
        ours = sampling.integers(pair.stream, (n,), np.dtype("int64"), low, high)
        pair.check(ours, torch.randint(low, high, (n,), generator=pair.generator))
    full = sampling.integers(pair.stream, (7,), np.dtype("int64"), -(2**63), 2**63)
    pair.check(full, torch.empty(7, dtype=torch.int64).random_(-(2**63), None, generator=pair.generator))


def test_draws_whose_number_depends_on_them(pair):
    s, g = pair.stream, pair.generator
    for n in SIZES[:-1]:
        pair.check(sampling.permutation(s, n), torch.randperm(n, generator=g))
        rates = torch.rand(n) * 30
        pair.check(sampling.poisson(s, rates.numpy()), torch.poisson(rates, generator=g).double())
        weights = torch.rand(3, n + 5)
        for w in (weights, weights.double()):
            for count, replacement in ((4, True), (1, True), (1, False), (4, False)):
                ours = sampling.multinomial(s, w.numpy(), count, replacement)
                pair.check(ours, torch.multinomial(w, count, replacement, generator=g))


def test_states_are_exchanged(pair):
    torch.randn(3, generator=pair.generator)
    pair.stream.set_state(pair.generator.get_state().numpy())
    pair.check(sampling.normal(pair.stream, (5,), np.dtype("f4")), torch.randn(5, generator=pair.generator))
    sampling.normal(pair.stream, (3000,), np.dtype("f4"))
    pair.generator.set_state(torch.from_numpy(pair.stream.state()))
    pair.check(sampling.uniform(pair.stream, (5,), np.dtype("f4")), torch.rand(5, generator=pair.generator))
