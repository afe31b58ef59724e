"""Small programs about containers and nn.utils, run on PyTorch and on disttorch: they must say the same."""

import copy
import pickle

import pytest

pytest.importorskip("torch")
from oracle.programs import assert_same_words

pytestmark = pytest.mark.oracle


def containers(lib, log):
    nn = lib.nn
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3))
    log(net[-1], net[1:], len(net), list(net + nn.Sequential(nn.Tanh())), net * 2)
    net.append(nn.Tanh()).insert(1, nn.Sigmoid())
    net.extend(nn.Sequential(nn.ELU()))
    del net[0]
    log(net, net.pop(-1), len(net))
    net[0] = nn.GELU()
    del net[1:3]
    log(net)
    for call in (
        lambda: net[9], lambda: net + 3, lambda: net * 0, lambda: net * 1.5, lambda: net.insert(99, nn.ReLU()),
        lambda: net.insert(0, 3), lambda: nn.Sequential(3), lambda: net.pop(9),
    ):  # fmt: skip
        log.error(call)
    row = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])
    row.append(nn.ReLU())
    row.insert(1, nn.Tanh())
    row += [nn.ELU()]
    log(row, row[1:3], len(row + row), row.pop(0), row[-1])
    del row[-1], row[0:2]
    log(row, [n for n, _ in row.named_children()])
    for call in (lambda: row[9], lambda: row.extend(3), lambda: row(1), lambda: nn.ModuleList([3]), lambda: row["a"]):
        log.error(call)
    names = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Linear(1, 1)})
    names["c"] = nn.Tanh()
    names.update([("d", nn.ELU())])
    log(names, list(names), "a" in names, list(names.keys()), list(names.values()), names.pop("b"), len(names))
    for call in (
        lambda: names["zz"], lambda: names.update(3), lambda: names.update([3]), lambda: names.update([(1, 2, 3)]),
        lambda: nn.ModuleDict({"type": nn.ReLU()}),
    ):  # fmt: skip
        log.error(call)
    names.clear()
    log(names)
    numbers = nn.ParameterList([nn.Parameter(lib.ones(2)), lib.zeros(1, 3), "text"])
    numbers.append(lib.ones(1)).extend([lib.ones(1)])
    numbers[2] = lib.ones(4)
    log(numbers, len(numbers), numbers[-1], len(numbers[1:3]), [n for n, _ in numbers.named_parameters()])
    log.error(lambda: numbers[9])
    log.error(lambda: numbers(1))
    by = nn.ParameterDict({"b": lib.ones(2), "a": nn.Parameter(lib.zeros(1)), "s": "text"})
    by["z"] = lib.ones(3)
    log(by, list(by), by.get("no", 3), by.setdefault("new", lib.ones(1)), list(reversed(by)), by.popitem(), by.pop("a"))
    log(by | nn.ParameterDict({"q": lib.ones(1)}), by.copy(), list(by.items()), by.fromkeys(["x"], 1))
    log.error(lambda: by[3])
    by.clear()
    log(len(by))


def parametrised(lib, log):
    nn = lib.nn
    P = nn.utils.parametrize

    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(0, 1)

        def right_inverse(self, a):
            return a.triu()

    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    class Rank(nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z):
            return z[:, 0], z[0, :]

    net = nn.Linear(3, 3)
    nn.init.constant_(net.weight, 2.0)
    nn.init.constant_(net.bias, 1.0)
    P.register_parametrization(net, "weight", Symmetric())
    log(net, net.weight, P.is_parametrized(net), P.is_parametrized(net, "bias"), P.type_before_parametrizations(net))
    net.weight = lib.eye(3)
    log(net.weight, net.parametrizations.weight.original, list(net.state_dict()))
    net(lib.ones(1, 3)).sum().backward()
    log(net.parametrizations.weight.original.grad)
    P.register_parametrization(net, "weight", Twice())
    log(net.weight)
    log.error(lambda: setattr(net, "weight", lib.ones(3, 3)))
    with P.cached():
        log(net.weight is net.weight)
    log(net.weight is net.weight)
    again = copy.deepcopy(net)
    log(again.weight)
    P.remove_parametrizations(net, "weight")
    log(net, net.weight, type(net).__name__)
    other = nn.Linear(3, 3)
    nn.init.constant_(other.weight, 2.0)
    P.register_parametrization(other, "weight", Twice(), unsafe=True)
    P.remove_parametrizations(other, "weight", leave_parametrized=False)
    log(other.weight)
    P.register_parametrization(net, "bias", Twice())
    rank = nn.Linear(2, 2)
    nn.init.constant_(rank.weight, 1.0)
    P.register_parametrization(rank, "weight", Rank())
    log(list(rank.state_dict()), rank.weight)
    log.error(lambda: P.remove_parametrizations(rank, "weight", leave_parametrized=False))
    log.error(lambda: P.remove_parametrizations(rank, "bias"))
    log.error(lambda: P.register_parametrization(nn.ReLU(), "weight", Twice()))

    class Other(nn.Module):
        def forward(self, x):
            return x[0]

    log.error(lambda: P.register_parametrization(nn.Linear(2, 2), "weight", Other()))
    log.error(lambda: pickle.dumps(rank))


def clipping(lib, log):
    nn = lib.nn
    for norm in (1.0, 2.0, float("inf")):
        params = [nn.Parameter(lib.zeros(3)), nn.Parameter(lib.zeros(2, 2)), nn.Parameter(lib.zeros(1))]
        params[0].grad, params[1].grad = lib.tensor([3.0, 4.0, 0.0]), lib.full((2, 2), -2.0)
        log(
            round(nn.utils.clip_grad_norm_(params, 2.0, norm).item(), 5), [round(v, 5) for v in params[0].grad.tolist()]
        )
        log(round(nn.utils.get_total_norm([p.grad for p in params[:2]], norm).item(), 4))
    nn.utils.clip_grad_value_(params, 0.25)
    log(params[0].grad, params[1].grad)
    params[0].grad[0] = float("nan")
    log.error(lambda: nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True))
    vector = nn.utils.parameters_to_vector([lib.ones(2, 2), lib.zeros(1)])
    log(vector)
    nn.utils.vector_to_parameters(vector + 3, params[:1] + params[2:])
    log(params[0], params[2])
    log.error(lambda: nn.utils.vector_to_parameters(3, params))


def sequences(lib, log):
    R = lib.nn.utils.rnn
    parts = [lib.arange(2.0), lib.arange(4.0) + 10, lib.arange(1.0) + 20]
    packed = R.pack_sequence(parts, enforce_sorted=False)
    log(packed.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
    padded, lengths = R.pad_packed_sequence(packed, batch_first=True, padding_value=-1, total_length=5)
    log(padded, lengths, R.unpack_sequence(packed), R.unpad_sequence(padded, lengths, batch_first=True))
    for side in ("left", "right"):
        log(R.pad_sequence(parts, batch_first=True, padding_value=9.0, padding_side=side))
    x = lib.arange(12.0).reshape(3, 2, 2).requires_grad_()
    both = R.pack_padded_sequence(x, [3, 1])
    (both.data * both.data).sum().backward()
    log(both.data, both.batch_sizes, x.grad, both.double().data, both.is_cuda)
    log.error(lambda: R.pack_padded_sequence(x, [1, 3]))
    log.error(lambda: R.pack_padded_sequence(x, [3]))
    log.error(lambda: R.pack_padded_sequence(x, [3, 0]))
    log.error(lambda: R.pad_packed_sequence(packed, total_length=2))
    log.error(lambda: R.pad_sequence(3))


def fused_and_stateless(lib, log):
    nn = lib.nn
    lib.manual_seed(0)
    conv, norm = nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3)
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(4.0)
    log.error(lambda: nn.utils.fuse_conv_bn_eval(conv, norm))
    x = lib.ones(1, 2, 2, 2)
    fused = nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    log(lib.allclose(fused(x), norm(conv(x)), atol=1e-6), fused)
    net = nn.Linear(2, 1)
    net.tied = net.weight
    given = {"weight": lib.ones(1, 2), "bias": lib.zeros(1)}
    log(lib.func.functional_call(net, given, (lib.ones(1, 2),)), (net.weight != 1).all())
    log.error(lambda: lib.func.functional_call(net, {"x": 1, "bias": 1, "tied": 1}, (lib.ones(1, 2),), strict=True))
    counted = nn.BatchNorm1d(1)
    state = {"num_batches_tracked": lib.tensor(5)}
    lib.func.functional_call(counted, state, (lib.ones(2, 1),))
    log(counted.num_batches_tracked, state["num_batches_tracked"])
    log(nn.utils.skip_init(nn.Linear, 2, 3).weight.shape, lib.rand(1))


PROGRAMS = [containers, parametrised, clipping, sequences, fused_and_stateless]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
@pytest.mark.filterwarnings("ignore")
def test_program(program):
    assert_same_words(program)
