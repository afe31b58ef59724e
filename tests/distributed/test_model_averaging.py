"""Models averaged every few steps: averagers, the hook and the optimizer of post-local SGD."""

import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from disttorch.distributed.algorithms.model_averaging import averagers, hierarchical_model_averager, utils
from disttorch.distributed.optim import PostLocalSGDOptimizer

HIERARCHY = hierarchical_model_averager.HierarchicalModelAverager


def with_gradient(value, dtype=torch.float32):
    p = nn.Parameter(torch.full((2,), float(value), dtype=dtype))
    p.grad = torch.zeros_like(p)
    return p


def test_parameters_of_several_dtypes_and_of_some_ranks():
    def body(rank):
        pair = dist.new_group([0, 1])
        params = [with_gradient(rank), with_gradient(10 * rank, torch.float64)]
        memory = params[0].data_ptr()
        utils.average_parameters(iter(params), pair)
        return [p.tolist() for p in params], params[0].data_ptr() == memory, params[0].requires_grad

    for rank, (values, same_memory, needs) in enumerate(run_ranks(3, body)):
        expected = [0.5, 5.0] if rank < 2 else [2.0, 20.0]
        assert values == [[expected[0]] * 2, [expected[1]] * 2]
        assert same_memory
        assert needs


def test_only_parameters_with_gradients_take_part():
    still = nn.Parameter(torch.ones(1))
    moving = with_gradient(1)
    assert utils.get_params_to_average([still, moving]) == [moving]
    assert utils.get_params_to_average([{"params": [still, moving]}]) == [moving]
    with pytest.raises(NotImplementedError, match="Parameter input of type <class 'int'> is not supported"):
        utils.get_params_to_average([3])


def steps_at_which_it_averages(make, count):
    """For each step, over which ranks the parameters were averaged."""

    def body(rank):
        averager, seen = make(), []
        for _ in range(count):
            p = with_gradient(2**rank)
            averager.average_parameters([{"params": [p]}])
            seen.append(p[0].item())
        return seen

    return run_ranks(4, body)


def test_every_period_after_the_warm_up():
    seen = steps_at_which_it_averages(lambda: averagers.PeriodicModelAverager(period=3, warmup_steps=2), 9)
    for rank, values in enumerate(seen):
        assert values == [15 / 4 if step in (2, 5, 8) else 2**rank for step in range(9)]


def test_the_largest_group_whose_turn_it_is():
    seen = steps_at_which_it_averages(lambda: HIERARCHY({2: 2, 4: 4}, warmup_steps=1), 9)
    for rank, values in enumerate(seen):
        pair = 1.5 if rank < 2 else 6.0
        assert values == [
            15 / 4 if step in (4, 8) else pair if step in (2, 6) else 2**rank for step in range(9)
        ]  # fmt: skip


def test_settings_that_do_not_fit():
    def body(rank):
        for make, text in [
            (lambda: averagers.PeriodicModelAverager(0), "``period`` must be a positive value"),
            (lambda: averagers.PeriodicModelAverager(2, -1), "``warmup_steps`` must be a non-negative number"),
            (lambda: HIERARCHY({}), "``period_group_size_dict`` must not be empty"),
            (lambda: HIERARCHY({0: 1}), "The minimum period"),
            (lambda: HIERARCHY({2: 3}), "must be equal to the size of arg ``process_group`` 1"),
            (lambda: HIERARCHY({2: 1}, -1), "``warmup_steps`` must be a non-negative number"),
        ]:
            with pytest.raises(ValueError, match=text):
                make()
        with pytest.warns(UserWarning, match="When period is 1, no need to use model averaging"):
            averagers.PeriodicModelAverager(1)

    run_ranks(1, body)


def trained(rank, averaged):
    """A DDP model after four steps of post-local SGD that starts at step 2, in groups of one rank."""
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1))
    mine = dist.new_subgroups(1)[0]
    model.register_comm_hook(PostLocalSGDState(None, mine, 2), post_localSGD_hook)
    local = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = PostLocalSGDOptimizer(local, averagers.PeriodicModelAverager(2, 2)) if averaged else local
    weights = []
    for step in range(4):
        optimizer.zero_grad()
        model(torch.full((2, 3), rank + step + 1.0)).square().mean().backward()
        optimizer.step()
        weights.append(model.module.weight.flatten().tolist())
    return weights


def test_gradients_first_models_later():
    apart, together = run_ranks(2, trained, args=[False]), run_ranks(2, trained, args=[True])
    for step in range(4):
        assert (apart[0][step] == apart[1][step]) is (step < 2)
        assert (together[0][step] == together[1][step]) is (step < 3)  # averaged at step 2, apart again at 3


def test_the_optimizers_state_has_the_averagers_step():
    def body(rank):
        def made():
            inner = torch.optim.SGD([with_gradient(1)], lr=0.1, momentum=0.9)
            return PostLocalSGDOptimizer(inner, averagers.PeriodicModelAverager(4))

        first, second = made(), made()
        for _ in range(3):
            first.step()
        assert repr(first) == repr(first.optim)
        second.load_state_dict(first.state_dict())
        assert second.averager.step == 3
        assert list(second.state)
        with pytest.warns(UserWarning, match="does not contain a step counter for an averager"):
            second.load_state_dict(first.optim.state_dict())
        assert second.averager.step == 0
        first.add_param_group({"params": [with_gradient(2)], "lr": 1.0})
        assert [group["lr"] for group in first.param_groups] == [0.1, 1.0]

    run_ranks(1, body)
