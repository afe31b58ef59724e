"""Random streams: numbers recorded from PyTorch, states, devices, and what is refused."""

import copy
import pickle

import numpy as np
import pytest

from disttorch import devices, random, sampling
from disttorch.autograd.variable import wrap
from disttorch.kernels.interchange import by_lapack, one_by_one
from disttorch.streams import MersenneTwister, Philox

F4, F8, I4, I8 = np.dtype("f4"), np.dtype("f8"), np.dtype("i4"), np.dtype("i8")


@pytest.fixture
def simulated():
    devices.simulate(3)
    yield
    devices.simulate(None)


def test_a_mixed_sequence_gives_pytorchs_numbers():
    """torch.manual_seed(0), then these calls in this order (recorded from PyTorch 2.13)."""
    s = MersenneTwister(0)
    weights = np.array([[1, 2, 3, 4]], np.float32)
    assert sampling.uniform(s, (3,), F4).tolist() == [0.49625658988952637, 0.7682217955589294, 0.08847743272781372]
    assert sampling.uniform(s, (3,), F8).tolist() == [0.0562441839043476, 0.07262971157225484, 0.17155810530414428]
    assert sampling.uniform(s, (3,), np.dtype("f2")).tolist() == [0.63232421875, 0.348876953125, 0.401611328125]
    assert sampling.normal(s, (3,), F4).tolist() == [0.40334683656692505, 0.8380263447761536, -0.7192575931549072]
    assert sampling.normal(s, (18,), F4)[[0, 1, 8, 15, 17]].tolist() == [
        0.5988394618034363, -1.5550950765609741, -0.17396099865436554, -0.004785737954080105, -0.30670419335365295
    ]  # fmt: skip
    np.testing.assert_allclose(sampling.normal(s, (2,), F8), [-0.40334352493217457, -0.6859184542866947], rtol=1e-15)
    assert sampling.uniform(s, (2,), F4, -1, 3).tolist() == [-0.3861722946166992, -0.033167123794555664]
    assert sampling.integers(s, (6,), I8, 0, 10).tolist() == [9, 6, 3, 4, 5, 0]
    assert sampling.integers(s, (2,), I8, 0, 2**40).tolist() == [146609645696, 551147988900]
    assert sampling.permutation(s, 8).tolist() == [5, 6, 2, 3, 4, 7, 0, 1]
    assert sampling.bernoulli(s, (8,), 0.4).tolist() == [False, False, False, True, True, True, False, True]
    np.testing.assert_allclose(
        sampling.exponential(s, (2,), F4, 2.0), [0.34223708510398865, 0.2597755789756775], rtol=1e-7
    )
    assert sampling.multinomial(s, weights, 4, True).tolist() == [[3, 3, 3, 3]]
    assert sampling.multinomial(s, weights, 3, False).tolist() == [[3, 2, 1]]
    assert sampling.any_integers(s, (2,), I4).tolist() == [351544500, 1087879144]
    assert sampling.poisson(s, np.array([2.0, 20.0])).tolist() == [1.0, 30.0]
    assert sampling.uniform(s, (1,), F4).tolist() == [0.7365944981575012]


@pytest.mark.parametrize("n", [2, 3, 64, 1000])
def test_both_ways_of_permuting_agree(n):
    places = np.arange(n - 1) + MersenneTwister(n).words(n - 1) % np.arange(n, 1, -1)
    order = one_by_one(places)
    np.testing.assert_array_equal(by_lapack(places), order)
    np.testing.assert_array_equal(sampling.permutation(MersenneTwister(n), n), order)
    assert sorted(order.tolist()) == list(range(n))


def test_philox_gives_the_known_answer():
    """The first block of Philox4x32-10 under key 0: Random123's kat_vectors."""
    words = Philox(0).words(4).tolist()
    assert words == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_philox_does_not_mind_how_its_words_are_fetched():
    one, many = Philox(5), Philox(5)
    assert one.words(20).tolist() == [w for n in (1, 2, 5, 12) for w in many.words(n).tolist()]
    again = Philox(0)
    again.set_state(one.state())
    assert again.words(3).tolist() == one.words(3).tolist()


@pytest.mark.parametrize("make", [MersenneTwister, Philox])
def test_moments(make):
    s = make(1)
    x = sampling.normal(s, (100000,), F4, 2.0, 3.0)
    assert x.mean() == pytest.approx(2, abs=0.05)
    assert x.std() == pytest.approx(3, abs=0.05)
    assert sampling.uniform(s, (100000,), F4, -1, 3).mean() == pytest.approx(1, abs=0.02)
    assert sampling.poisson(MersenneTwister(1), np.full(5000, 20.0)).mean() == pytest.approx(20, abs=0.3)


def test_a_state_brings_the_numbers_back():
    g = random.Generator().manual_seed(5)
    sampling.normal(g._stream, (3,), F4)  # leaves half a pair
    state = g.get_state()
    assert state._data.shape == (5056,)
    first = sampling.normal(g._stream, (700,), F4)
    for copied in (g.clone_state(), copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        copied.set_state(state)
        np.testing.assert_array_equal(sampling.normal(copied._stream, (700,), F4), first)


def test_negative_and_large_seeds():
    assert random.Generator().manual_seed(-5).initial_seed() == 2**64 - 5
    assert random.Generator().manual_seed(2**64 - 1).initial_seed() == 2**64 - 1
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match="Overflow when unpacking long long"):
            random.Generator().manual_seed(seed)
    with pytest.raises(RuntimeError, match="manual_seed expected a long, but got float"):
        random.Generator().manual_seed(1.5)


def test_states_that_are_refused():
    g = random.Generator()
    with pytest.raises(RuntimeError, match="of size 5056 but found the input RNG state size to be 3"):
        g.set_state(wrap(np.zeros(3, np.uint8)))
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        g.set_state(wrap(np.zeros(5056, np.uint8)))
    with pytest.raises(TypeError, match=r"RNG state must be a torch\.ByteTensor"):
        g.set_state(wrap(np.zeros(5056, np.float32)))
    with pytest.raises(TypeError, match=r"expected a torch\.ByteTensor, but got list"):
        random.set_rng_state([1])


def test_fork_rng_leaves_everything_as_it_was(simulated):
    random.manual_seed(1)
    cuda = random.default(devices.device("cuda", 1))
    before = random.get_rng_state()._data, cuda.get_state()._data
    with random.fork_rng(devices=[1]):
        random.manual_seed(2)
        cuda._stream.words(5)
    np.testing.assert_array_equal(random.get_rng_state()._data, before[0])
    np.testing.assert_array_equal(cuda.get_state()._data, before[1])
    with random.fork_rng(enabled=False):
        random.manual_seed(3)
    assert random.initial_seed() == 3


def test_devices_have_generators_of_their_own_seeded_alike(simulated):
    first, second = (devices.device("cuda", i) for i in (0, 1))
    random.manual_seed(4)
    a = sampling.uniform(random.stream(None, first), (3,), F4)
    b = sampling.uniform(random.stream(None, second), (3,), F4)
    c = sampling.uniform(random.stream(None, devices.CPU), (3,), F4)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        random.stream(random.Generator(), first)


def test_seed_is_not_known_beforehand():
    assert random.seed() != random.seed()
    assert random.default_generator.initial_seed() == random.initial_seed()


def test_generators_are_shown_as_pytorchs():
    assert repr(random.Generator()).startswith("<torch._C.Generator object at 0x")
