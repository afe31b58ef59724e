"""Functional collectives: new tensors, waited for when used; groups of all forms; gradients where a name says so."""

import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch.distributed import _functional_collectives as functional
from disttorch.distributed import init_device_mesh, run_ranks


def each(rank):
    world, out = dist.group.WORLD, {}
    x = torch.arange(4.0).view(2, 2) + 10 * rank
    before = x.clone()
    out["broadcast"] = functional.broadcast(x, 1, world)
    out["all_reduce"] = functional.all_reduce(x, "avg", world)
    out["rows"] = functional.all_gather_tensor(x, 0, world)
    out["columns"] = functional.all_gather_tensor(x, 1, world)
    out["part"] = functional.reduce_scatter_tensor(x, "sum", 1, world)
    out["to_all"] = functional.all_to_all_single(x, None, None, world)
    out["permuted"] = functional.permute_tensor(x, [1, 0], world)
    first, second = functional.all_reduce_coalesced([x, x[0]], "max", world)
    out["first"], out["second"] = first, second
    (out["gathered"],) = functional.all_gather_into_tensor_coalesced([x[0]], world)
    (out["scattered"],) = functional.reduce_scatter_tensor_coalesced([x], "sum", [0], world)
    assert x.equal(before)
    return {name: value.tolist() for name, value in out.items()}


def test_values():
    zero, one = run_ranks(2, each)
    assert zero == {
        "broadcast": [[10, 11], [12, 13]], "all_reduce": [[5, 6], [7, 8]],
        "rows": [[0, 1], [2, 3], [10, 11], [12, 13]], "columns": [[0, 1, 10, 11], [2, 3, 12, 13]],
        "part": [[10], [14]], "to_all": [[0, 1], [10, 11]], "permuted": [[10, 11], [12, 13]],
        "first": [[10, 11], [12, 13]], "second": [10, 11], "gathered": [0, 1, 10, 11], "scattered": [[10, 12]],
    }  # fmt: skip
    assert one["part"] == [[12], [16]]
    assert one["permuted"] == [[0, 1], [2, 3]]
    assert one["to_all"] == [[2, 3], [12, 13]]


def test_a_result_is_waited_for_when_it_is_used():
    def body(rank):
        x = torch.ones(3)
        result = functional.all_reduce(x, "sum", dist.group.WORLD)
        assert type(result) is functional.AsyncCollectiveTensor
        doubled = result * 2
        assert type(result) is torch.Tensor
        again = functional.all_reduce(x, "sum", dist.group.WORLD)
        assert functional.wait_tensor(again) is again
        return doubled.tolist(), functional.all_reduce(x, "sum", dist.group.WORLD).wait().tolist()

    assert run_ranks(2, body) == [([4, 4, 4], [2, 2, 2])] * 2


def test_groups_of_all_forms():
    def body(rank):
        mesh, x = init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "b")), torch.tensor([2.0**rank])
        name = mesh.get_group("b").group_name
        forms = [dist.group.WORLD, mesh["a"], (mesh, 0), [[0, 2], [1, 3]], mesh["b"], name, [0, 1, 2, 3]]
        return [functional.all_reduce(x, "sum", form).item() for form in forms]

    found = run_ranks(4, body)
    assert found[0] == [15, 5, 5, 5, 3, 3, 15]
    assert found[3] == [15, 10, 10, 10, 12, 12, 15]


def test_groups_that_are_none():
    def body(rank):
        x = torch.ones(1)
        with pytest.raises(AssertionError, match="Only 1D mesh is supported"):
            functional.all_reduce(x, "sum", init_device_mesh("cpu", (1, 1)))
        for wrong, text in [
            ("nobody", "Could not resolve the process group"), ([[0], [1, 2]], "group sizes must be identical"),
            (3, "Invalid type for group"), ([5], "rank 0 is in none"),
        ]:  # fmt: skip
            with pytest.raises((ValueError, RuntimeError), match=text):
                functional.all_reduce(x, "sum", wrong)

    run_ranks(1, body)


def test_an_uneven_scatter():
    def body(rank):
        with pytest.raises(AssertionError, match=r"input dimension 0 \(3\) must be a multiple of group_size 2"):
            functional.reduce_scatter_tensor(torch.ones(3), "sum", 0, dist.group.WORLD)

    run_ranks(2, body)


def gradients(rank):
    world, found = dist.group.WORLD, {}
    for name, function in {
        "rows": lambda x: functional.all_gather_tensor(x, 0, world),
        "columns": lambda x: functional.all_gather_tensor_autograd(x, 1, world),
        "sum": lambda x: functional.wait_tensor(functional.all_reduce(x, "sum", world)),
        "avg": lambda x: functional.all_reduce(x, "avg", world),
        "first": lambda x: functional.reduce_scatter_tensor(x, "sum", 0, world),
        "second": lambda x: functional.reduce_scatter_tensor_autograd(x, "avg", 1, world),
        "to_all": lambda x: functional.all_to_all_single(x, [1, 1], [1, 1], world),
        "broadcast": lambda x: functional.broadcast(x, 1, world),
        "permuted": lambda x: functional.permute_tensor(x, [1, 0], world),
        "reduced": lambda x: sum(functional.all_reduce_coalesced([x, x * 2], "sum", world)),
        "gathered": lambda x: sum(functional.all_gather_into_tensor_coalesced([x, x * 2], world)),
        "scattered": lambda x: sum(functional.reduce_scatter_tensor_coalesced([x, x * 2], "sum", [0, 0], world)),
    }.items():
        x = torch.ones(2, 2, requires_grad=True)
        out = function(x)
        (out * (rank + 1)).sum().backward()
        found[name] = tuple(out.shape), x.grad.tolist()
    return found


def test_gradients():
    zero, one = run_ranks(2, gradients)
    own = {name: (zero.pop(name), one.pop(name)) for name in ("broadcast", "permuted")}
    assert zero == one == {
        "rows": ((4, 2), [[3, 3], [3, 3]]), "columns": ((2, 4), [[3, 3], [3, 3]]),
        "sum": ((2, 2), [[3, 3], [3, 3]]), "avg": ((2, 2), [[1.5, 1.5], [1.5, 1.5]]),
        "first": ((1, 2), [[1, 1], [2, 2]]), "second": ((2, 1), [[0.5, 1], [0.5, 1]]),
        "to_all": ((2, 2), [[1, 1], [2, 2]]),
        "reduced": ((2, 2), [[9, 9], [9, 9]]), "gathered": ((4, 2), [[9, 9], [9, 9]]),
        "scattered": ((1, 2), [[3, 3], [6, 6]]),
    }  # fmt: skip
    assert own["broadcast"] == (((2, 2), [[0, 0], [0, 0]]), ((2, 2), [[3, 3], [3, 3]]))
    assert own["permuted"] == (((2, 2), [[2, 2], [2, 2]]), ((2, 2), [[1, 1], [1, 1]]))


def test_a_reduction_without_a_gradient_has_a_value():
    def body(rank):
        x = torch.tensor([rank + 1.0], requires_grad=True)
        top = functional.all_reduce(x, "max", dist.group.WORLD)
        with pytest.raises(RuntimeError, match="has no gradient here"):
            top.sum().backward()
        with torch.no_grad():
            alone = functional.all_reduce(x, "max", dist.group.WORLD)
        return top.item(), top.requires_grad, alone.item(), alone.requires_grad

    assert run_ranks(2, body) == [(2, True, 2, False)] * 2
