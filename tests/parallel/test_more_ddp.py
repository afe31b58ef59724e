"""DistributedDataParallel's rest: hooks, uneven inputs, ZeroRedundancyOptimizer, keys with or without prefix."""

import functools

import numpy as np
import pytest
from disttorch.comm import PeerLost

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.algorithms.ddp_comm_hooks import (
    DDPCommHookType,
    default_hooks,
    powerSGD_hook,
    quantization_hooks,
    register_ddp_comm_hook,
)
from disttorch.distributed.algorithms.join import Join, Joinable, JoinHook
from disttorch.distributed.optim.zero_redundancy_optimizer import ZeroRedundancyOptimizer, partition
from disttorch.nn.parallel import DistributedDataParallel, bucket_size


def net(seed=0):
    made, source = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 4)), np.random.default_rng(seed)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.from_numpy(source.standard_normal(tuple(p.shape)).astype(np.float32)) * 0.2)
    return made


def data(rank, step, size=8):
    source = np.random.default_rng(100 * step + rank)
    return torch.from_numpy(source.standard_normal((size, 20)).astype(np.float32))


def train(rank, hook, steps=12):
    model = DistributedDataParallel(net())
    if hook == "power":
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2, start_powerSGD_iter=2)
        model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    elif hook == "power in 16 bits":
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2, start_powerSGD_iter=2)
        model.register_comm_hook(state, default_hooks.fp16_compress_wrapper(powerSGD_hook.powerSGD_hook))
    elif hook == "plain in 16 bits":
        model.register_comm_hook(None, default_hooks.bf16_compress_wrapper(default_hooks.allreduce_hook))
    elif hook == "batched":
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=8, start_powerSGD_iter=2)
        model.register_comm_hook(state, powerSGD_hook.batched_powerSGD_hook)
    elif hook == "quantised":
        model.register_comm_hook(quantization_hooks.QuantizationState(), quantization_hooks.quantization_pertensor_hook)
    elif hook == "rows":
        rows = functools.partial(quantization_hooks.quantization_perchannel_hook, bucket_size=64)
        model.register_comm_hook(quantization_hooks.QuantizationState(), rows)
    elif hook is not None:
        model.register_comm_hook(None, getattr(default_hooks, hook))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for step in range(steps):
        loss = (model(data(rank, step % 3)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [p.detach().numpy().copy() for p in model.parameters()]


@pytest.mark.parametrize(
    ("hook", "tolerance"),
    [
        ("allreduce_hook", 0),
        ("fp16_compress_hook", 2e-3),
        ("bf16_compress_hook", 2e-2),
        ("quantised", 2e-2),
        ("rows", 2e-2),
        ("power", 0.2),
        ("power in 16 bits", 0.2),
        ("plain in 16 bits", 2e-2),
        ("batched", 0.2),
    ],
)
def test_hooks_train_like_plain_averaging(hook, tolerance):
    (plain, values), _ = run_ranks(2, train, args=(None,))
    (losses, first), (_, second) = run_ranks(2, train, args=(hook,))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))  # the same on every rank
    np.testing.assert_allclose(losses, plain, rtol=0, atol=tolerance)
    for a, b in zip(first, values, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def saved_by(rank, hook):
    """What is counted of 12 steps, 10 of which compress: weights of 20 by 30 and 30 by 4, 34 biases."""
    state = powerSGD_hook.PowerSGDState(None, 2, start_powerSGD_iter=2, compression_stats_logging_frequency=4)
    model, logged = DistributedDataParallel(net()), []
    model.register_comm_hook(state, hook)
    for step in range(12):
        model(data(rank, step)).sum().backward()
        model.zero_grad()
        logged.append(state.next_stats_report)
    return state.compression_stats(), sorted(set(logged))


def test_power_sgd_counts_what_it_saves():
    before, sent = 10 * (600 + 120 + 34), 10 * (50 * 2 + 120 + 34)  # 30 by 4 would shrink by less than half
    logged = [0, 6, 10, 14]  # after the first step that compresses, and every 4 steps
    assert run_ranks(2, saved_by, args=(powerSGD_hook.powerSGD_hook,)) == [((before / sent, before, sent), logged)] * 2
    sent = 10 * 2 * 28 * 2  # 754 elements as a square of 28
    assert run_ranks(1, saved_by, args=(powerSGD_hook.batched_powerSGD_hook,))[0][0] == (before / sent, before, sent)
    assert powerSGD_hook.PowerSGDState(None).compression_stats() == (0, 0, 0)
    assert isinstance(torch.futures.Future(), torch._C.Future)


def twice(rank):
    model = DistributedDataParallel(net())
    model.register_comm_hook(None, default_hooks.allreduce_hook)
    model.register_comm_hook(None, default_hooks.allreduce_hook)


def test_one_hook_only():
    with pytest.raises(RuntimeError, match="can only be called once"):
        run_ranks(1, twice)


def uneven(rank, by_all, throw):
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model.module.weight.fill_(0)
    seen = []
    with model.join(divide_by_initial_world_size=by_all, throw_on_early_termination=throw):
        for _ in range(2 + 2 * rank):
            model.zero_grad()
            model(torch.ones(1, 1)).sum().backward()
            seen.append(model.module.weight.grad.item())
            with torch.no_grad():
                model.module.weight -= model.module.weight.grad
    return seen, model.module.weight.item()


def test_join_lets_ranks_have_different_numbers_of_batches():
    (short, weight), (long, other) = run_ranks(2, uneven, args=(True, False))
    assert short == [1, 1]
    assert long == [1, 1, 0.5, 0.5]
    assert weight == other == -3  # all have what the last rank has
    (short, weight), (long, other) = run_ranks(2, uneven, args=(False, False))
    assert long == [1, 1, 1, 1]
    assert weight == other == -4


def test_join_can_end_all_ranks_early():
    def texts(rank):
        with pytest.raises(RuntimeError) as error:
            uneven(rank, True, True)
        return str(error.value)

    first, second = run_ranks(2, texts)
    assert first == "Rank 0 exhausted all inputs."
    assert second == "Detected at least one rank that exhausted inputs. Throwing across all ranks."


def joined_with_an_optimizer(rank, shared_state):
    """Rank 1 has two batches more; both ranks take every step."""
    model = DistributedDataParallel(net())
    settings = {"lr": 0.1, "momentum": 0.9}
    parameters = model.parameters()
    if shared_state:
        optimizer = ZeroRedundancyOptimizer(parameters, torch.optim.SGD, **settings)
    else:
        optimizer = torch.optim.SGD(parameters, **settings)
    with Join([model, optimizer] if shared_state else [model]):
        for step in range(2 + 2 * rank):
            optimizer.zero_grad()
            (model(data(rank, step)) - 1).square().mean().backward()
            optimizer.step()
    assert Join.notify_join_context(model) is None  # the block is over
    return [p.detach().numpy().copy() for p in model.parameters()]


def test_join_of_a_model_and_its_sharded_optimizer_equals_a_plain_one():
    first, second = run_ranks(2, joined_with_an_optimizer, args=(True,))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first, run_ranks(2, joined_with_an_optimizer, args=(False,))[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def synced_later(rank):
    """Two forwards without averaging, then a backward with it, as accelerate's trigger_sync_in_backward has it."""
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    with model.no_sync():
        first, second = (model(torch.full((1, 1), rank + n)).sum() for n in (1.0, 2.0))
        first.backward()
        alone = model.module.weight.grad.item()
    model.reducer.prepare_for_backward([])
    second.backward()
    return alone, model.module.weight.grad.item()


def test_a_backward_may_average_what_a_forward_left():
    assert run_ranks(2, synced_later) == [(1, 4), (2, 4)]


def future(state, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    return default_hooks.allreduce_hook(None, bucket)


def of_a_number(state, bucket: int) -> torch.futures.Future[torch.Tensor]:
    raise NotImplementedError


def to_a_number(state, bucket: dist.GradBucket) -> int:
    raise NotImplementedError


def test_a_hook_that_says_what_it_takes():
    def body(rank):
        model = DistributedDataParallel(nn.Linear(1, 1))
        with pytest.raises(ValueError, match=r"bucket annotation should be dist\.GradBucket"):
            model.register_comm_hook(None, of_a_number)
        with pytest.raises(ValueError, match="return annotation should be"):
            model.register_comm_hook(None, to_a_number)
        model.register_comm_hook(None, future)
        model(torch.ones(1, 1)).sum().backward()
        other = DistributedDataParallel(nn.Linear(1, 1))
        other.register_comm_hook(None, lambda state, bucket: 1)
        with pytest.raises(RuntimeError, match=r"callback must return a torch.futures.Future object, but got int"):
            other(torch.ones(1, 1)).sum().backward()

    run_ranks(2, body)


def joined_with_a_hook(rank):
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    register_ddp_comm_hook(DDPCommHookType.ALLREDUCE, model)
    with model.join():
        for _ in range(1 + rank):
            model.zero_grad()
            model(torch.ones(1, 1)).sum().backward()
    return model.module.weight.grad.item()


def test_join_and_a_communication_hook():
    assert run_ranks(2, joined_with_a_hook) == [1.0, 0.5]  # rank 0 has its last step's again


def joined_twice(rank):
    model, seen = DistributedDataParallel(nn.Linear(1, 1, bias=False)), []
    for _ in range(2):
        with model.join():
            for _ in range(1 + rank):
                model(torch.ones(1, 1)).sum().backward()
                seen.append(model.module.weight.grad.item())
                model.zero_grad()
    return seen


def test_a_second_join_starts_with_no_gradients_of_the_first():
    assert run_ranks(2, joined_twice) == [[1, 1], [1, 0.5, 1, 0.5]]


def with_arguments(rank):
    from collections import namedtuple

    pair = namedtuple("pair", "a b")

    class Sum(nn.Linear):
        def forward(self, x):
            assert type(x) is pair
            return super().forward(x.a + x.b)

    model = Sum(1, 1).to("cuda:0")
    for name in ("seen", "own"):
        model.register_buffer(name, torch.full((1,), float(rank), device="cuda:0"))
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, ["bias", "own"])
    wrapped = DistributedDataParallel(model, device_ids=[0], forward_sync_buffers=False)
    assert (model.seen.item(), model.own.item()) == (0, rank)
    model.seen.fill_(rank)
    assert wrapped(pair(torch.ones(1, 1), torch.ones(1, 1))).device.type == "cuda"
    return model.seen.item(), len(wrapped.reducer.parameters)


def test_what_the_wrapper_is_told(simulated_devices):
    simulated_devices(1)
    assert run_ranks(2, with_arguments) == [(0, 1), (1, 1)]


class Tally(Joinable, JoinHook):
    """Counts its own steps over all ranks."""

    def __init__(self):
        super().__init__()
        self.total, self.shadowed, self.last = 0, 0, None

    def step(self):
        work = Join.notify_join_context(self)
        if work is not None:
            work.wait()
        self._add(1)

    def _add(self, mine):
        count = torch.tensor([mine])
        dist.all_reduce(count)
        self.total += count.item()

    def join_hook(self, **kwargs):
        return self

    def main_hook(self):
        self.shadowed += 1
        self._add(0)

    def post_hook(self, is_last_joiner):
        self.last = is_last_joiner

    join_device = property(lambda self: torch.device("cpu"))
    join_process_group = property(lambda self: dist.group.WORLD)


def test_a_class_of_ones_own_can_join():
    def body(rank):
        tally = Tally()
        with Join([tally]):
            for _ in range(1 + 2 * rank):
                tally.step()
        return tally.total, tally.shadowed, tally.last

    assert run_ranks(2, body) == [(4, 2, False), (4, 0, True)]


def test_join_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="requires at least one joinable"):
        Join([])
    with pytest.raises(AssertionError, match="calls the ``Joinable`` constructor"):
        Join.notify_join_context(object())


def test_zero_shares_out_frozen_parameters_too():
    def shares(rank):
        optimizer = ZeroRedundancyOptimizer([torch.zeros(n) for n in (3, 3, 1, 1)], torch.optim.SGD, lr=0.1)
        told = optimizer.rank, optimizer.world_size, optimizer.parameters_as_bucket_view, optimizer.initialized
        assert told == (rank, 2, False, True)
        return [p.numel() for p in optimizer.optim.param_groups[0]["params"]]

    assert run_ranks(2, shares) == [[3, 1], [3, 1]]


def test_partition_is_even_and_complete():
    assert partition([4, 1, 1, 2], [0, 0]) == [[0], [1, 2, 3]]
    assert partition([], [0, 0]) == [[], []]
    assert partition([5], [0] * 3) == [[0], [], []]
    assert partition([1], [4, 2]) == [[], [0]]


class Sliding(torch.optim.SGD):
    """Writes into its groups as it steps."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["steps"] = group.get("steps", 0) + 1
        return super().step(closure)


def grown(rank):
    layers = net(), net(1), nn.Linear(1, 1)
    models = [DistributedDataParallel(layer) for layer in layers]
    optimizer = ZeroRedundancyOptimizer(models[0].parameters(), Sliding, lr=0.5)
    optimizer.add_param_group({"params": list(models[1].parameters()), "lr": 0.25})
    optimizer.add_param_group({"params": list(models[2].parameters())})
    optimizer.param_groups[0]["lr"] = 0.125
    for model in models:
        for p in model.parameters():
            p.grad = torch.ones_like(p)
    optimizer.step()
    before = [net(), net(1)]
    change = [
        {round(float((p - q).abs().max()), 4) for p, q in zip(model.module.parameters(), old.parameters(), strict=True)}
        for model, old in zip(models, before, strict=False)
    ]
    held = sum(p.numel() for group in optimizer.optim.param_groups for p in group["params"])
    return change, [group["steps"] for group in optimizer.param_groups], held


def test_a_sharded_optimizer_takes_further_groups():
    first, second = run_ranks(2, grown)
    assert first[:2] == second[:2] == ([{0.125}, {0.25}], [1, 1, 1])
    assert abs(first[2] - second[2]) < 700
    assert first[2] + second[2] == 2 * (20 * 30 + 30 + 30 * 4 + 4) + 2


def sharded(rank, shared):
    model = DistributedDataParallel(net())
    make = torch.optim.Adam
    optimizer = (
        ZeroRedundancyOptimizer(model.parameters(), make, lr=0.01) if shared else make(model.parameters(), lr=0.01)
    )
    for step in range(4):
        optimizer.zero_grad()
        (model(data(rank, step)) - 1).square().mean().backward()
        optimizer.step()
    if shared:
        optimizer.consolidate_state_dict(to=0)
        own = sum(len(g["params"]) for g in optimizer.optim.param_groups)
        assert own < 4
        state = optimizer.state_dict() if rank == 0 else None
    else:
        state = optimizer.state_dict()
    moments = None if state is None else [state["state"][i]["exp_avg"].numpy() for i in range(4)]
    return [p.detach().numpy().copy() for p in model.parameters()], moments


def test_a_sharded_optimizer_equals_the_whole_one():
    (plain, moments), _ = run_ranks(2, sharded, args=(False,))
    (first, collected), (second, _) = run_ranks(2, sharded, args=(True,))
    for a, b, c in zip(first, second, plain, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)
    assert all(np.array_equal(a, b) for a, b in zip(collected, moments, strict=True))


def reloaded(rank):
    model = DistributedDataParallel(nn.Linear(2, 2))
    plain = nn.Linear(2, 2).state_dict()
    model.load_state_dict(plain)
    model.load_state_dict({f"module.{k}": v for k, v in plain.items()})
    dist.barrier()
    return torch.equal(model.module.weight, plain["weight"])


def test_state_loads_with_and_without_the_prefix():
    assert run_ranks(1, reloaded) == [True]


def test_the_bucket_that_lost_a_rank_says_so_not_the_next_one(monkeypatch):
    """The last bucket is reduced at the end of backward, when the group is known to be broken already."""
    monkeypatch.setattr(bucket_size, "_crowded", lambda comm: False)  # a thread reduces

    def lose(rank, *_):
        model = DistributedDataParallel(net(), bucket_cap_mb=1e-4)
        model(data(rank, 0)).sum().backward()
        first, group = model.reducer.buckets[0], model.reducer.comm
        assert len(model.reducer.buckets) > 1

        class Lost:
            def wait(self):
                raise PeerLost(1 - rank, reason="silent")

        def start(aside):
            first.work = Lost()
            group.abort(str(PeerLost(1 - rank)))

        first.start = start
        with pytest.raises(PeerLost, match=f"rank {1 - rank} .*silent"):
            model(data(rank, 1)).sum().backward()

    run_ranks(2, lose, timeout=20)
