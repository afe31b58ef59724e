"""Our schedulers beside PyTorch's: rates and momenta over 40 steps, states, and errors."""

import pickle
import warnings

import pytest

import disttorch

torch = pytest.importorskip("torch")
torch.optim.SGD(
    [torch.zeros(1)]
)  # loads now what PyTorch loads at first use, which leaves a variable in the environment
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:.*epoch parameter in")]


def halve(epoch):
    return 0.5 ** (epoch // 3)


MAKERS = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, halve),
    "LambdaLR-each": lambda s, o: s.LambdaLR(o, [halve, lambda e: 0.95**e]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.97),
    "StepLR": lambda s, o: s.StepLR(o, 4, 0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 11], 0.5),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.25, 6),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.2, 0.9, 7),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 12, 2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 10, 0.01),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    "CosineAnnealingWarmRestarts-1": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, [0.1, 0.2], 4, 7),
    "CyclicLR-2": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 5, mode="triangular2", cycle_momentum=False),
    "CyclicLR-exp": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 5, mode="exp_range", gamma=0.99),
    "CyclicLR-fn": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 5, scale_fn=halve, scale_mode="iterations"),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, [0.5, 0.1], 45),
    "OneCycleLR-linear": lambda s, o: s.OneCycleLR(
        o, 0.5, epochs=9, steps_per_epoch=5, anneal_strategy="linear", pct_start=0.2
    ),
    "OneCycleLR-three": lambda s, o: s.OneCycleLR(o, 0.5, 45, three_phase=True, cycle_momentum=False),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 5)], [4, 12]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)], optimizer=o
    ),
    "two-chained-by-hand": lambda s, o: (s.LinearLR(o, 0.5, 1.0, 4), s.StepLR(o, 3, 0.5)),
}
OPTIMIZERS = [("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"lr": 0.01})]


def prepared(lib, optimizer, kwargs, tensor_lr=False):
    params = [lib.ones(2, requires_grad=True), lib.ones(3, requires_grad=True)]
    kwargs = {**kwargs, "lr": lib.tensor(kwargs["lr"])} if tensor_lr else kwargs
    return getattr(lib.optim, optimizer)(
        [{"params": [params[0]]}, {"params": [params[1]], "lr": kwargs["lr"] * 2}], **kwargs
    )


def settings(optimizer):
    names = ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr")
    plain = lambda x: x.item() if hasattr(x, "item") else x  # noqa: E731
    return [
        [plain(v) for n in names if n in g for v in (g[n] if isinstance(g[n], tuple) else [g[n]])]
        for g in optimizer.param_groups
    ]


def run(lib, make, optimizer, kwargs, count=40, tensor_lr=False):
    o = prepared(lib, optimizer, kwargs, tensor_lr)
    schedulers = make(lib.optim.lr_scheduler, o)
    schedulers = schedulers if isinstance(schedulers, tuple) else (schedulers,)
    seen = [settings(o)]
    for _ in range(count):
        o.step()
        for s in schedulers:
            s.step()
        seen.append([*settings(o), [x.item() if hasattr(x, "item") else x for x in schedulers[-1].get_last_lr()]])
    return seen, schedulers[-1], o


def flat(x):
    return [v for part in x for v in flat(part)] if isinstance(x, list) else [x]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("optimizer", "kwargs"), OPTIMIZERS)
def test_rates(name, optimizer, kwargs):
    mine, theirs = (run(lib, MAKERS[name], optimizer, kwargs)[0] for lib in (disttorch, torch))
    assert flat(mine) == pytest.approx(flat(theirs), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ["StepLR", "LambdaLR", "OneCycleLR", "CosineAnnealingLR", "SequentialLR"])
def test_rates_in_tensors(name):
    mine, theirs = (run(lib, MAKERS[name], *OPTIMIZERS[0], tensor_lr=True)[0] for lib in (disttorch, torch))
    assert flat(mine) == pytest.approx(flat(theirs), rel=1e-5)


@pytest.mark.parametrize("name", [n for n in MAKERS if n[-4:] not in ("each", "hand")])
def test_states(name):
    """PyTorch's keys, and a scheduler that has loaded a state goes on like the one that gave it."""
    _, mine, o = run(disttorch, MAKERS[name], *OPTIMIZERS[0], count=9)
    _, theirs, other = run(torch, MAKERS[name], *OPTIMIZERS[0], count=9)
    given = mine.state_dict()
    assert given.keys() <= theirs.state_dict().keys() | {"_is_initial", "_get_lr_called_within_step"}
    fresh_optimizer = prepared(disttorch, *OPTIMIZERS[0])
    fresh = MAKERS[name](disttorch.optim.lr_scheduler, fresh_optimizer)
    if "Lambda" not in name and "Multiplicative" not in name:
        given = pickle.loads(pickle.dumps(given))
    fresh.load_state_dict(given)
    fresh_optimizer.load_state_dict(o.state_dict())
    for _ in range(20):
        for one, two in ((o, mine), (other, theirs), (fresh_optimizer, fresh)):
            one.step()
            two.step()
        assert flat(settings(fresh_optimizer)) == flat(settings(o))
        assert flat(settings(o)) == pytest.approx(flat(settings(other)), rel=1e-12)


METRICS = [
    1.0,
    0.9,
    0.9,
    0.9,
    0.95,
    0.9,
    0.91,
    0.5,
    0.5,
    0.5,
    0.5,
    0.5,
    0.5,
    0.6,
    0.6,
    float("nan"),
    0.6,
    0.3,
    0.3,
    0.3,
    0.3,
    0.3,
    0.3,
]
PLATEAUS = [
    {}, {"patience": 2}, {"mode": "max", "patience": 1}, {"patience": 1, "cooldown": 3},
    {"patience": 0, "min_lr": [0.05, 0.01]},
    {"patience": 1, "threshold_mode": "abs", "threshold": 0.1},
    {"mode": "max", "patience": 0, "threshold_mode": "abs", "factor": 0.5},
]  # fmt: skip


@pytest.mark.parametrize("kwargs", PLATEAUS)
def test_plateau(kwargs):
    seen = []
    for lib in (disttorch, torch):
        o = prepared(lib, *OPTIMIZERS[0])
        s = lib.optim.lr_scheduler.ReduceLROnPlateau(o, **kwargs)
        rates = []
        for m in METRICS:
            o.step()
            s.step(lib.tensor(m))
            rates += [settings(o), [s.num_bad_epochs, s.cooldown_counter, s.last_epoch, *s.get_last_lr()]]
        seen.append((flat(rates), sorted(s.state_dict())))
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-12)
    assert seen[0][1] == seen[1][1]


@pytest.mark.parametrize(
    "name", ["StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR", "PolynomialLR", "LambdaLR"]
)
def test_an_epoch_may_be_named(name):
    seen = []
    for lib in (disttorch, torch):
        o = prepared(lib, *OPTIMIZERS[0])
        s = MAKERS[name](lib.optim.lr_scheduler, o)
        o.step()
        rates = []
        for epoch in (3, 1, 8, 20):
            s.step(epoch)
            rates.append(s.get_last_lr())
        seen.append(flat(rates))
    assert seen[0] == pytest.approx(seen[1], rel=1e-12)


@pytest.mark.parametrize("name", ["StepLR", "CosineAnnealingLR", "ExponentialLR", "LambdaLR", "OneCycleLR", "CyclicLR"])
def test_going_on_from_an_epoch(name):
    seen = []
    for lib in (disttorch, torch):
        s = lib.optim.lr_scheduler
        o = prepared(lib, *OPTIMIZERS[0])
        for g in o.param_groups:
            g.update(initial_lr=g["lr"] * 3, max_lr=1.0, min_lr=0.001, max_momentum=0.9, base_momentum=0.8)
        made = {
            "StepLR": lambda: s.StepLR(o, 4, 0.3, last_epoch=6),
            "CosineAnnealingLR": lambda: s.CosineAnnealingLR(o, 10, 0.01, last_epoch=6),
            "ExponentialLR": lambda: s.ExponentialLR(o, 0.9, last_epoch=6),
            "LambdaLR": lambda: s.LambdaLR(o, halve, last_epoch=6),
            "OneCycleLR": lambda: s.OneCycleLR(o, 1.0, 45, last_epoch=6),
            "CyclicLR": lambda: s.CyclicLR(o, 0.01, 0.1, 5, last_epoch=6),
        }[name]()
        rates = [settings(o)]
        for _ in range(10):
            o.step()
            made.step()
            rates.append(settings(o))
        seen.append(flat(rates))
    assert seen[0] == pytest.approx(seen[1], rel=1e-12)


BAD = [
    lambda s, o: s.StepLR(3, 4),
    lambda s, o: s.StepLR(o, 4, last_epoch=3),
    lambda s, o: s.LambdaLR(o, [halve]),
    lambda s, o: s.MultiplicativeLR(o, 3),
    lambda s, o: s.ConstantLR(o, 2.0),
    lambda s, o: s.LinearLR(o, 0.0),
    lambda s, o: s.LinearLR(o, 0.5, 2.0),
    lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="no"),
    lambda s, o: s.CyclicLR(o, [0.1], 0.2),
    lambda s, o: s.OneCycleLR(o, 0.1),
    lambda s, o: s.OneCycleLR(o, 0.1, -3),
    lambda s, o: s.OneCycleLR(o, 0.1, epochs=2.5, steps_per_epoch=3),
    lambda s, o: s.OneCycleLR(o, 0.1, 10, pct_start=2.0),
    lambda s, o: s.OneCycleLR(o, 0.1, 10, anneal_strategy="no"),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 0),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 0.5),
    lambda s, o: s.ReduceLROnPlateau(o, "no"),
    lambda s, o: s.ReduceLROnPlateau(o, factor=1.0),
    lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="no"),
    lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    lambda s, o: s.SequentialLR(o, [s.StepLR(o, 3)], [3]),
    lambda s, o: s.SequentialLR(o, [], []),
    lambda s, o: s.ChainedScheduler([]),
    lambda s, o: s.ChainedScheduler([s.StepLR(o, 3), s.ReduceLROnPlateau(o)]),
    lambda s, o: s.ChainedScheduler([s.StepLR(o, 3), 3]),
]


@pytest.mark.parametrize("bad", range(len(BAD)))
def test_what_is_refused(bad):
    said = []
    for lib in (disttorch, torch):
        with pytest.raises((ValueError, TypeError, KeyError)) as caught:
            BAD[bad](lib.optim.lr_scheduler, prepared(lib, *OPTIMIZERS[0]))
        said.append((caught.type, str(caught.value)))
    assert said[0] == said[1]


def test_the_order_of_calls_is_minded():
    for lib in (disttorch, torch):
        o = prepared(lib, *OPTIMIZERS[0])
        s = lib.optim.lr_scheduler.StepLR(o, 3)
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
            s.step()
        with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`"):
            s.get_lr()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            o.step()
            s.step()
