"""Small programs about modules, run on PyTorch and on disttorch: they must say the same."""

import copy
import io
import pickle
import warnings
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch")
from oracle.programs import assert_same_words  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.nn.Module().compile()  # loads now what PyTorch loads at first use, which leaves variables in the environment
pytestmark = pytest.mark.oracle


def hooks(lib, log):
    nn = lib.nn

    class Two(nn.Module):
        def forward(self, x, scale=1.0):
            return x * scale, x + 1

    net = Two()
    x = lib.ones(2, requires_grad=True)
    handles = [
        net.register_forward_pre_hook(lambda m, a: log("pre", a)),
        net.register_forward_pre_hook(lambda m, a, k: (a, {"scale": 3.0}), with_kwargs=True),
        net.register_forward_pre_hook(lambda m, a: log("first", a), prepend=True),
        net.register_forward_hook(lambda m, a, k, o: log("post", a, k, o), with_kwargs=True),
        net.register_forward_hook(lambda m, a, o: (o[0] * 2, o[1]), prepend=True),
        net.register_full_backward_pre_hook(lambda m, g: log("before", g)),
        net.register_full_backward_pre_hook(lambda m, g: (g[0] * 10, g[1])),
        net.register_full_backward_hook(lambda m, i, o: log("after", i, o)),
        net.register_full_backward_hook(lambda m, i, o: (i[0] + 5,)),
    ]
    a, b = net(x)
    (a.sum() + b.sum()).backward()
    log(x.grad)
    for handle in handles:
        handle.remove()
    log(net(x))
    net.register_full_backward_hook(lambda m, i, o: (None, None))
    log.error(lambda: net(x)[0].sum().backward())
    log.error(lambda: net.register_backward_hook(lambda *a: None))
    always = Two()
    always.register_forward_hook(lambda m, a, o: log("always", o), always_call=True)
    log.error(lambda: always(x, nothing=3) and None)
    wrong = Two()
    wrong.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    log.error(lambda: wrong(x))


def backward_hooks_without_input_gradients(lib, log):
    net = lib.nn.Linear(2, 1, bias=False)
    lib.nn.init.constant_(net.weight, 2.0)
    net.register_full_backward_hook(lambda m, i, o: log("hook", i, o))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net(lib.ones(1, 2)).sum().backward()
    log(net.weight.grad)
    old = lib.nn.Linear(2, 1)
    old.register_backward_hook(lambda m, i, o: log("old", o))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old(lib.ones(1, 2)).sum().backward()


def global_hooks(lib, log):
    module = lib.nn.modules.module
    made = [
        module.register_module_forward_pre_hook(lambda m, a: log("all pre", type(m).__name__)),
        module.register_module_forward_hook(lambda m, a, o: log("all post", type(m).__name__)),
        module.register_module_full_backward_hook(lambda m, i, o: log("all back", type(m).__name__)),
        module.register_module_parameter_registration_hook(lambda m, n, p: log("parameter", n)),
        module.register_module_buffer_registration_hook(lambda m, n, p: log("buffer", n)),
        module.register_module_module_registration_hook(lambda m, n, p: log("module", n)),
    ]
    net = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.ReLU())
    net.register_buffer("b", lib.ones(1))
    net(lib.ones(1, 2, requires_grad=True)).sum().backward()
    for handle in made:
        handle.remove()
    lib.nn.ReLU()(lib.ones(1))


def registration(lib, log):
    nn = lib.nn
    net = nn.Module()
    net.w = nn.Parameter(lib.ones(2))
    net.register_buffer("b", lib.zeros(2))
    net.register_buffer("n", lib.zeros(1), persistent=False)
    net.child = nn.Linear(1, 1)
    net.c = nn.Buffer(lib.ones(1))
    net.register_parameter("none", None)
    log(list(net.state_dict()), [n for n, _ in net.named_parameters()], [n for n, _ in net.named_buffers()])
    log.error(lambda: setattr(net, "w", lib.ones(2)))
    log.error(lambda: setattr(net, "child", 3))
    log.error(lambda: setattr(net, "b", "x"))
    log.error(lambda: net.register_parameter("q", lib.ones(2)))
    log.error(lambda: net.register_parameter("q", nn.Parameter))
    log.error(lambda: net.register_parameter("a.b", None))
    log.error(lambda: net.register_parameter("", None))
    log.error(lambda: net.register_parameter(3, None))
    log.error(lambda: net.register_parameter("child", None))
    log.error(lambda: net.register_buffer("w", None))
    log.error(lambda: net.register_buffer("q", 3))
    log.error(lambda: net.add_module("q", 3))
    log.error(lambda: net.add_module("q.r", nn.ReLU()))
    log.error(lambda: net.add_module("w", nn.ReLU()))
    log.error(lambda: net.nothing)
    log.error(lambda: net(1))
    log.error(lambda: nn.Module(3))
    log.error(lambda: nn.Module(a=3))
    log.error(lambda: nn.ReLU(inplace=True, other=3) and None)
    net.w = None
    log(net.w, list(net.state_dict()))
    net.w = nn.Parameter(lib.ones(1))
    net.b = None
    net.n = lib.ones(3)
    del net.child, net.none
    log(list(net.state_dict()), dict(net._buffers), "child" in dir(net), "w" in dir(net))

    class Early(nn.Module):
        def __init__(self, kind):
            if kind == "parameter":
                self.w = nn.Parameter(lib.ones(1))
            elif kind == "module":
                self.m = nn.ReLU()
            else:
                self.register_buffer("b", lib.ones(1))

    for kind in ("parameter", "module", "buffer"):
        log.error(lambda kind=kind: Early(kind))


def by_name(lib, log):
    nn = lib.nn
    net = nn.Sequential(OrderedDict(a=nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), b=nn.ReLU()))
    log(net.get_submodule("a.0"), net.get_parameter("a.0.bias").shape, net.get_buffer("a.1.running_mean"))
    for call in (
        lambda: net.get_submodule("a.7"), lambda: net.get_submodule("a.0.bias"), lambda: net.get_parameter("a.0"),
        lambda: net.get_parameter("a.0.x"), lambda: net.get_buffer("a.0.bias"), lambda: net.get_buffer("a.x"),
        lambda: net.set_submodule("", nn.ReLU()), lambda: net.set_submodule("a.0", 3),
        lambda: net.set_submodule("a.0.bias", nn.ReLU()), lambda: net.set_submodule("a.x", nn.ReLU(), strict=True),
    ):  # fmt: skip
        log.error(call)
    net.set_submodule("a.0", nn.Identity())
    log(net, [n for n, _ in net.named_modules()], [n for n, _ in net.named_children()])
    log([n for n, _ in net.named_modules(prefix="p")], [n for n, _ in net.named_parameters(prefix="p", recurse=False)])
    tied = nn.ModuleList([net.a, net.a])
    log(len(list(tied.modules())), len(list(tied.named_modules(remove_duplicate=False))))
    log([n for n, _ in tied.named_parameters()], [n for n, _ in tied.named_parameters(remove_duplicate=False)])


def states(lib, log):
    nn = lib.nn

    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(lib.ones(2))

        def get_extra_state(self):
            return {"steps": 3}

        def set_extra_state(self, state):
            log("extra", state)

    net = nn.Sequential(nn.Linear(2, 2), Extra())
    state = net.state_dict()
    log(list(state), dict(state._metadata), net.load_state_dict(state))
    log(list(net.state_dict(prefix="x.")), net.state_dict(keep_vars=True)["0.bias"].requires_grad)
    bad = OrderedDict(state)
    del bad["0.bias"], bad["1._extra_state"]
    bad["other"] = bad["0.more.x"] = lib.ones(1)
    bad["0.weight"], bad["1.w"] = lib.ones(3), "text"
    log.error(lambda: net.load_state_dict(bad))
    good = OrderedDict(state)
    del good["0.bias"]
    good["q"] = lib.ones(1)
    log(net.load_state_dict(good, strict=False))
    log.error(lambda: net.load_state_dict(3))
    scalar = nn.Module()
    scalar.s = nn.Parameter(lib.ones(()))
    scalar.load_state_dict({"s": lib.tensor([4.0])})
    log(scalar.s)
    new = lib.zeros(2)
    net[1].load_state_dict({"w": new, "_extra_state": 1}, assign=True)
    new += 7
    log(net[1].w, isinstance(net[1].w, nn.Parameter))
    net.register_state_dict_pre_hook(lambda m, p, k: log("pre", p, k))
    net.register_state_dict_post_hook(lambda m, s, p, meta: s.update(added=1))
    net.register_load_state_dict_pre_hook(lambda m, s, p, *rest: s.pop("added"))
    net.register_load_state_dict_post_hook(lambda m, keys: log("post", keys.missing_keys))
    state = net.state_dict()
    log(list(state), net.load_state_dict(state))
    net.register_state_dict_post_hook(lambda m, s, p, meta: s)
    log.error(net.state_dict)


def conversions(lib, log):
    nn = lib.nn
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = list(net.parameters())
    net(lib.ones(3, 2)).sum().backward()
    for how in ("double", "half", "bfloat16", "float"):
        getattr(net, how)()
        log(how, [str(t.dtype) for t in net.state_dict().values()], str(net[0].weight.grad.dtype))
    log(all(a is b for a, b in zip(before, net.parameters(), strict=True)))
    net.to(lib.float64)
    net.to("cpu", lib.float32)
    log(str(net[0].weight.dtype))
    log.error(lambda: net.to(lib.int64))
    net.zero_grad(set_to_none=False)
    log(net[0].weight.grad)
    net.zero_grad()
    log(net[0].weight.grad is None)
    net.requires_grad_(False)
    log([p.requires_grad for p in net.parameters()])
    log(net.train(False).training, net[1].training, net.train() is net, net[1].training)
    log.error(lambda: net.train("yes"))
    names = []
    net.apply(lambda m: names.append(type(m).__name__))
    log(names)
    log(net.compile() is None, net.eval()[1].training)


def copies(lib, log):
    nn = lib.nn
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.LeakyReLU(0.3), nn.LSTM(2, 3))
    net[0].weight.requires_grad = False
    other = copy.deepcopy(net)
    buffer = io.BytesIO()
    pickle.dump(net, buffer)
    buffer.seek(0)
    third = pickle.load(buffer)
    for made in (other, third):
        log(made, [p.requires_grad for p in made.parameters()])
        log(all((a == b).all().item() for a, b in zip(net.parameters(), made.parameters(), strict=True)))
        log(made[0].weight is net[0].weight, type(made[0].weight).__name__)
        made[0].weight.data += 1
    log((net[0].weight != other[0].weight).all())


def lazy(lib, log):
    nn = lib.nn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = nn.Sequential(nn.LazyConv2d(3, 2), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(4))
    log(net[0].has_uninitialized_params(), net)
    log.error(lambda: net[3].weight.shape)
    lib.manual_seed(1)
    log(net(lib.ones(2, 2, 3, 3)).shape)
    log(net, dict(net.state_dict()), type(net[3].weight).__name__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = nn.LazyLinear(4)
    other.load_state_dict(net[3].state_dict())
    log(other.weight, other.has_uninitialized_params())


def settings(lib, log):
    nn = lib.nn
    for call in (
        lambda: nn.Dropout(2), lambda: nn.Conv2d(3, 4, 3, groups=2), lambda: nn.Conv2d(4, 3, 3, groups=2),
        lambda: nn.Conv2d(1, 1, 3, groups=0), lambda: nn.Conv2d(1, 1, 3, padding="same", stride=2),
        lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"), lambda: nn.GroupNorm(2, 3),
        lambda: nn.BatchNorm2d(3)(lib.ones(2, 3)), lambda: nn.BatchNorm1d(3)(lib.ones(1, 3, 2, 2)),
        lambda: nn.InstanceNorm2d(3)(lib.ones(2)), lambda: nn.Softmax2d()(lib.ones(2)),
        lambda: nn.MultiheadAttention(5, 2), lambda: nn.MultiheadAttention(0, 2),
        lambda: nn.Embedding(3, 2, padding_idx=5),
        lambda: nn.LSTM(0, 3), lambda: nn.LSTM(3, 3, proj_size=3), lambda: nn.GRU(3, 3, proj_size=1),
        lambda: nn.RNN(3, 3, nonlinearity="x"), lambda: nn.LSTM(3, 3, dropout=2), lambda: nn.LSTM(3, 3, bias=1),
        lambda: nn.LSTM(3, 4)(lib.ones(2)), lambda: nn.LSTM(3, 4)(lib.ones(2, 2, 5)),
        lambda: nn.GRU(3, 4)(lib.ones(2, 2, 3), lib.ones(1, 3, 4)),
        lambda: nn.GRU(3, 4)(lib.ones(2, 2, 3), lib.ones(1, 4)),
        lambda: nn.LSTM(3, 4)(lib.ones(2, 2, 3).double()), lambda: nn.AdaptiveLogSoftmaxWithLoss(3, 9, [4, 4]),
        lambda: nn.Hardtanh(2, 1), lambda: nn.Unflatten(1, 3), lambda: nn.Unflatten(1, (2, "x")),
        lambda: nn.TripletMarginLoss(margin=0), lambda: nn.MultiMarginLoss(p=3), lambda: nn.Bilinear(0, 1, 1),
        lambda: nn.Transformer(8, 2, 1, 1)(lib.ones(2, 2, 8), lib.ones(2, 3, 8)),
        lambda: nn.ConvTranspose2d(1, 1, 3, 2)(lib.ones(1, 1, 2, 2), output_size=[9, 9]),
        lambda: nn.ConvTranspose2d(1, 1, 3, 2)(lib.ones(1, 1, 2, 2), output_size=[9]),
        lambda: nn.init.dirac_(lib.ones(2)), lambda: nn.init.eye_(lib.ones(2)), lambda: nn.init.calculate_gain("x"),
        lambda: nn.init.kaiming_normal_(lib.ones(2, 2), mode="x"), lambda: nn.init.xavier_normal_(lib.ones(2)),
        lambda: nn.Parameter(lib.ones(2, dtype=lib.int64)),
    ):  # fmt: skip
        log.error(call)


PROGRAMS = [
    hooks, backward_hooks_without_input_gradients, global_hooks, registration, by_name, states, conversions, copies,
    lazy,
    settings,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
@pytest.mark.filterwarnings("ignore")
def test_program(program):
    assert_same_words(program)
