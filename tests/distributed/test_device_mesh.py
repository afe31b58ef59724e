"""Device meshes: ranks in an array, and a group along each dimension."""

import pytest

import disttorch as torch
import disttorch.distributed as dist
from disttorch import nn
from disttorch.distributed import run_ranks
from disttorch.distributed.device_mesh import DeviceMesh, init_device_mesh
from disttorch.nn.parallel import DistributedDataParallel


def summed(group):
    total = torch.tensor(dist.get_rank())
    dist.all_reduce(total, group=group)
    return total.item()


def two_dimensions(rank):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    assert mesh.mesh.tolist() == [[0, 1], [2, 3]]
    assert (mesh.ndim, mesh.shape, mesh.size(), mesh.size(1)) == (2, (2, 2), 4, 2)
    assert mesh.get_coordinate() == (rank // 2, rank % 2)
    assert mesh.get_local_rank("shard") == mesh.get_local_rank(1) == rank % 2
    assert mesh["shard"].get_group() is mesh.get_group("shard")
    assert mesh["replicate", "shard"] is mesh
    assert mesh["shard"].mesh.tolist() == [rank // 2 * 2, rank // 2 * 2 + 1]
    with pytest.raises(RuntimeError, match="Found the DeviceMesh have 2 dimensions"):
        mesh.get_group()
    with pytest.raises(KeyError, match="ascending order"):
        mesh["shard", "replicate"]
    with pytest.raises(KeyError, match="Invalid mesh_dim_names"):
        mesh["other"]
    return [summed(group) for group in mesh.get_all_groups()]


def test_a_group_along_each_dimension():
    assert run_ranks(4, two_dimensions) == [[2, 1], [4, 1], [2, 5], [4, 5]]


def flattened(rank):
    mesh = init_device_mesh("cpu", (1, 2, 2), mesh_dim_names=("dp", "cp", "tp"))
    flat = mesh["dp", "cp"]._flatten()
    assert mesh["dp_cp"] is flat
    assert flat.mesh.tolist() == [rank % 2, rank % 2 + 2]
    assert mesh["tp"]._flatten() == mesh["tp"]
    return summed(mesh["dp_cp"].get_group())


def test_several_dimensions_as_one():
    assert run_ranks(4, flattened) == [2, 4, 2, 4]


def of_groups(rank):
    group = dist.new_group([0, 1])
    mesh = DeviceMesh.from_group(group, "cpu", mesh_dim_names=("dp",))
    assert mesh.get_group() is group
    assert mesh == DeviceMesh.from_group([group], "cpu", mesh=[0, 1], mesh_dim_names=("dp",))
    assert hash(mesh) != hash(DeviceMesh.from_group(group, "cpu"))
    assert repr(mesh) == "DeviceMesh((dp=2), 'cpu', [0, 1])"
    for wrong, text in [
        ({"group": group, "mesh": [1, 0]}, "Invalid mesh .1, 0. for ProcessGroup"),
        ({"group": []}, "at least one"),
        ({"group": [group]}, "Must pass mesh if"),
        ({"group": [group], "mesh": [0, 1]}, "Must pass mesh_dim_names"),
        ({"group": [group], "mesh": [[0, 1]], "mesh_dim_names": ("a", "b")}, "ndim equal to number"),
    ]:
        with pytest.raises(ValueError, match=text):
            DeviceMesh.from_group(device_type="cpu", **wrong)


def test_groups_that_are_there():
    run_ranks(2, of_groups)


def in_ddp(rank):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False), device_mesh=mesh["shard"])
    assert model.device_mesh is not None
    model(torch.full((1, 1), float(rank))).sum().backward()
    with pytest.raises(RuntimeError, match="Only 1D device mesh is supported"):
        DistributedDataParallel(nn.Linear(1, 1), device_mesh=mesh)
    with pytest.raises(RuntimeError, match="Cannot specify both"):
        DistributedDataParallel(nn.Linear(1, 1), device_mesh=mesh["shard"], process_group=dist.group.WORLD)
    return model.module.weight.grad.item()


def test_ddp_over_a_dimension():
    assert run_ranks(4, in_ddp) == [0.5, 0.5, 2.5, 2.5]


def wrong_meshes(rank):
    for wrong, text in [
        ({"device_type": "cuda:0", "mesh_shape": (1,)}, "Device type with index is not supported but got cuda:0"),
        ({"device_type": "cpu", "mesh_shape": (3,)}, "should not be bigger than default world size 2, but found 3"),
        ({"device_type": "cpu", "mesh_shape": (2,), "mesh_dim_names": ("a", "b")}, "should have same length"),
        ({"device_type": "cpu", "mesh_shape": (1, 2), "mesh_dim_names": ("a", "a")}, "must be unique"),
    ]:
        with pytest.raises(RuntimeError, match=text):
            init_device_mesh(**wrong)
    with pytest.raises(ValueError, match="array of different ranks"):
        DeviceMesh("cpu", [0, 0])
    with pytest.raises(RuntimeError, match="without mesh_dim_names"):
        init_device_mesh("cpu", (2,))["dp"]
    small = DeviceMesh("cpu", torch.tensor([1]), mesh_dim_names=("dp",))
    assert small.get_coordinate() == (None if rank == 0 else (0,))
    assert small.get_local_rank() == (-1 if rank == 0 else 0)


def test_wrong_meshes_and_ranks_outside():
    run_ranks(2, wrong_meshes)
