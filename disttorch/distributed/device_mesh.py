"""torch.distributed.device_mesh: ranks in an array of several dimensions, with a process group along each."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import cuda
from ..autograd.variable import Tensor, wrap
from .groups import init_process_group, new_group
from .process_group import GroupMember, ProcessGroup, get_rank, get_world_size, is_initialized

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """The ranks in `mesh`, an array of their global numbers; a process group of them along every dimension.

    Every rank of the job makes the same mesh. Makes the default process group where there is none, and sets the CUDA
    device to LOCAL_RANK for a mesh of "cuda". `mesh["dp"]` is the part along one dimension, `mesh["dp", "cp"]` that
    along several, through this rank.

    Raises ValueError for an array that is not of different ranks, RuntimeError for more ranks than the job has.
    """

    def __init__(
        self,
        device_type: str,
        mesh: Any,
        *,
        mesh_dim_names: Sequence[str] | None = None,
        _groups: Sequence[Any] | None = None,
        _root: "DeviceMesh | None" = None,
    ):
        self.device_type = device_type
        self._ranks = np.array(mesh.tolist() if isinstance(mesh, Tensor) else mesh, dtype=np.int64)
        self.mesh_dim_names = None if mesh_dim_names is None else tuple(mesh_dim_names)
        self._check()
        self._root = _root or self
        self._flattened: dict[str, DeviceMesh] = {}
        if _groups is None:
            _prepare(device_type)
            if self.size() > get_world_size():
                raise RuntimeError(
                    f"Mesh should not be bigger than default world size {get_world_size()}, but found {self.size()} "
                    "ranks!"
                )
            _groups = [_group_of_line(_lines(self._ranks, (dim,))) for dim in range(self.ndim)]
        self._groups = list(_groups)

    def _check(self) -> None:
        names = self.mesh_dim_names
        if len(np.unique(self._ranks)) != self._ranks.size or self._ranks.ndim == 0:
            raise ValueError(f"mesh must be an array of different ranks, got {self._ranks.tolist()}")
        if names is not None and len(set(names)) != len(names):
            raise RuntimeError(
                f"Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names {tuple(names)}"
            )
        if names is not None and len(names) != self._ranks.ndim:
            raise RuntimeError(
                "mesh_shape and mesh_dim_names should have same length! "
                f"Found len(mesh_dim_names): {len(names)} and len(mesh_shape):{self._ranks.ndim}."
            )

    @property
    def mesh(self) -> Tensor:
        """The ranks, an int32 tensor of this shape."""
        return wrap(self._ranks.astype(np.int32))

    @property
    def ndim(self) -> int:
        return self._ranks.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return self._ranks.shape

    def size(self, mesh_dim: int | None = None) -> int:
        """How many ranks the mesh has, or one dimension of it."""
        return self._ranks.size if mesh_dim is None else self._ranks.shape[mesh_dim]

    def get_rank(self) -> int:
        """This process's rank in the job."""
        return get_rank()

    def get_coordinate(self) -> tuple[int, ...] | None:
        """Where this rank stands; None if it is not in the mesh."""
        found = np.argwhere(self._ranks == get_rank())
        return tuple(found[0].tolist()) if len(found) else None

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """This rank's number along a dimension (needed where there are several)."""
        return get_rank(self.get_group(mesh_dim))

    def get_group(self, mesh_dim: int | str | None = None) -> ProcessGroup:
        """The process group along a dimension (needed where there are several): the one that this rank is in."""
        if mesh_dim is None and self.ndim > 1:
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions. Optional kwarg `mesh_dim` needs to be specified "
                "when device_mesh.ndim > 1. If you want to get the list of all the ProcessGroups in the DeviceMesh, "
                "please use `get_all_groups()` instead."
            )
        if mesh_dim in self._root._flattened:
            return self._root._flattened[mesh_dim].get_group()
        return self._groups[self._dim(mesh_dim) if isinstance(mesh_dim, str) else mesh_dim or 0]

    def get_all_groups(self) -> list[ProcessGroup]:
        """The process group of every dimension."""
        return list(self._groups)

    def __getitem__(self, mesh_dim_names: str | Sequence[str]) -> "DeviceMesh":
        """The mesh along these dimensions, in the mesh's order, through this rank; its groups are this one's."""
        if not self.mesh_dim_names:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else tuple(mesh_dim_names)
        if names == self.mesh_dim_names:
            return self
        if len(names) == 1 and names[0] in self._root._flattened:
            return self._root._flattened[names[0]]
        valid = [*self.mesh_dim_names, *self._root._flattened]
        if any(name not in self.mesh_dim_names for name in names):
            raise KeyError(f"Invalid mesh_dim_names {tuple(names)} specified. Valid mesh_dim_names are {valid}.")
        dims = [self._dim(name) for name in names]
        if dims != sorted(set(dims)):
            raise KeyError(f"Invalid mesh_dim_names {names} specified. Mesh dim indices should be in ascending order.")
        here = self.get_coordinate()
        if here is None:
            raise RuntimeError(f"rank {get_rank()} is not in {self!r}, and has no part of it")
        through = tuple(slice(None) if dim in dims else here[dim] for dim in range(self.ndim))
        return self._part(self._ranks[through], names, [self._groups[dim] for dim in dims])

    def _part(self, ranks: np.ndarray, names: Sequence[str], groups: Sequence[Any]) -> "DeviceMesh":
        return DeviceMesh(self.device_type, ranks, mesh_dim_names=names, _groups=groups, _root=self._root)

    def _flatten(self, mesh_dim_name: str | None = None) -> "DeviceMesh":
        """This mesh's ranks in one dimension, with a group of all of them. Every rank of the job must call it alike.

        mesh_dim_name: its name, "dp_cp" for the dimensions dp and cp if None, by which it is had from the whole mesh.
        """
        if not self.mesh_dim_names:
            raise RuntimeError("Cannot flatten a DeviceMesh without mesh_dim_names!")
        name = mesh_dim_name or "_".join(self.mesh_dim_names)
        root = self._root
        if self.ndim == 1 and name in self.mesh_dim_names:
            return self
        if name in (root.mesh_dim_names or ()):
            raise ValueError(f"{name} already exists for submesh of the {root!r}. Please specify another name.")
        if name not in root._flattened:
            group = _group_of_line(_lines(root._ranks, tuple(root._dim(dim) for dim in self.mesh_dim_names)))
            root._flattened[name] = self._part(self._ranks.reshape(-1), (name,), [group])
        return root._flattened[name]

    @staticmethod
    def from_group(
        group: ProcessGroup | Sequence[ProcessGroup],
        device_type: str,
        mesh: Any = None,
        *,
        mesh_dim_names: Sequence[str] | None = None,
    ) -> "DeviceMesh":
        """A mesh of groups that are there: of one, or of one for each dimension of `mesh`, which is then needed."""
        if isinstance(mesh, Tensor):
            mesh = mesh.tolist()
        if isinstance(group, ProcessGroup):
            if mesh is not None and list(mesh) != group.ranks:
                raise ValueError(f"Invalid mesh {mesh} for ProcessGroup with ranks {group.ranks}")
            return DeviceMesh(device_type, group.ranks, mesh_dim_names=mesh_dim_names, _groups=[group])
        groups = list(group)
        if not groups:
            raise ValueError("Expects at least one ProcessGroup to be passed")
        if mesh is None:
            raise ValueError("Must pass mesh if passing multiple ProcessGroups")
        if mesh_dim_names is None:
            raise ValueError("Must pass mesh_dim_names if passing multiple ProcessGroups")
        if np.ndim(mesh) != len(groups):
            raise ValueError(
                f"Expects mesh with ndim equal to number of ProcessGroups but got mesh {mesh} and {len(groups)} "
                "ProcessGroups"
            )
        return DeviceMesh(device_type, mesh, mesh_dim_names=mesh_dim_names, _groups=groups)

    def _dim(self, name: str) -> int:
        if name not in (self.mesh_dim_names or ()):
            raise KeyError(
                f"Mesh dimension '{name}' does not exist. Available mesh dimensions are: "
                f"mesh_dim_names={self.mesh_dim_names}"
            )
        return self.mesh_dim_names.index(name)

    def __enter__(self) -> "DeviceMesh":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing depends on the mesh that is entered."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceMesh) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple:
        return self.device_type, self.shape, tuple(self._ranks.reshape(-1).tolist()), self.mesh_dim_names

    def __repr__(self) -> str:
        names = self.mesh_dim_names
        sizes = ", ".join(f"{n}={s}" for n, s in zip(names, self.shape, strict=True)) if names else None
        return f"DeviceMesh({f'({sizes})' if sizes else self.shape}, '{self.device_type}', {self._ranks.tolist()})"


def init_device_mesh(
    device_type: str, mesh_shape: Sequence[int], *, mesh_dim_names: Sequence[str] | None = None
) -> DeviceMesh:
    """A DeviceMesh of the ranks 0, 1, 2, … in row-major order. Every rank of the job makes the same.

    device_type: "cpu" or "cuda", without a number. mesh_shape: whose product is at most the number of ranks.
    mesh_dim_names: names of the dimensions, all different. Raises RuntimeError where these do not hold.
    """
    if not device_type.isalpha():
        raise RuntimeError(
            f"Device type with index is not supported but got {device_type}. "
            "If you maintained a 'torch.device' object, it's recommended to pass in 'device.type'."
        )
    shape = tuple(mesh_shape)
    return DeviceMesh(device_type, np.arange(math.prod(shape)).reshape(shape), mesh_dim_names=mesh_dim_names)


def _prepare(device_type: str) -> None:
    if not is_initialized():
        init_process_group()
    if device_type == "cuda" and "LOCAL_RANK" in os.environ:
        cuda.set_device(int(os.environ["LOCAL_RANK"]))


def _lines(ranks: np.ndarray, dims: Sequence[int]) -> list[list[int]]:
    """The ranks along the dimensions, once for each place in the others."""
    others = [dim for dim in range(ranks.ndim) if dim not in dims]
    length = math.prod(ranks.shape[dim] for dim in dims)
    return ranks.transpose([*others, *dims]).reshape(-1, length).tolist()


def _group_of_line(lines: list[list[int]]) -> Any:
    """A new group for each line; this rank's. Their order is the lines', which need not be ascending."""
    made = [new_group(line, sort_ranks=False) for line in lines]
    return next((group for group in made if group != GroupMember.NON_GROUP_MEMBER), GroupMember.NON_GROUP_MEMBER)
