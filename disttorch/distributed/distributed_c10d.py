"""torch.distributed.distributed_c10d: the same names, at the place where some programs look for them."""

from datetime import timedelta
from typing import Any

import numpy as np

from ..autograd.variable import Tensor, wrap
from .backends import *  # noqa: F403
from .coalesced import *  # noqa: F403
from .collectives import *  # noqa: F403
from .collectives import _all_gather_base, _reduce_scatter_base, _Work  # noqa: F401
from .group_methods import *  # noqa: F403
from .groups import *  # noqa: F403
from .groups import _new_process_group_helper  # noqa: F401
from .objects import *  # noqa: F403
from .objects import dumps, loads
from .point_to_point import *  # noqa: F403
from .process_group import *  # noqa: F403
from .process_group import DEFAULT_TIMEOUT as default_pg_timeout  # noqa: F401
from .process_group import GroupMember, ProcessGroup, get_global_rank, resolve, world
from .reduce_ops import *  # noqa: F403
from .stores import *  # noqa: F403


class _World:
    """The groups that this rank knows, as `_world`."""

    @property
    def default_pg(self) -> ProcessGroup | None:
        return world().default

    @property
    def pg_map(self) -> dict[ProcessGroup, tuple[str, Any]]:
        """The backend's name and the store of every group."""
        return {group: (group.backend, group.store) for group in world().groups}

    @property
    def pg_names(self) -> dict[ProcessGroup, str]:
        return {group: group.group_name for group in world().groups}

    @property
    def pg_group_ranks(self) -> dict[ProcessGroup, dict[int, int]]:
        """Of every group: the group's rank by that in the job."""
        return {group: {rank: i for i, rank in enumerate(group.ranks)} for group in world().groups}


_world = _World()


def __getattr__(name: str) -> Any:
    if name in ("_pg_map", "_pg_names", "_pg_group_ranks"):  # a new one at every look
        return getattr(_world, name[1:])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _get_default_group() -> ProcessGroup:
    """The default process group. ValueError where there is none."""
    return resolve(None)


def _get_default_store():
    """The store in which the default group's ranks have met."""
    return resolve(None).store


def _get_process_group_store(group: ProcessGroup):
    """The store in which the group's ranks have met."""
    return group.store


def _set_pg_timeout(timeout: timedelta, group: ProcessGroup | None = None) -> None:
    """Limit later operations of a group (None: the default one) to `timeout`."""
    if not isinstance(timeout, timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    resolve(group).set_timeout(timeout)


def _rank_not_in_group(group: ProcessGroup | None) -> bool:
    return group == GroupMember.NON_GROUP_MEMBER


def _get_pg_default_device(group: ProcessGroup | None = None):
    from ..devices import CPU

    return CPU


def _get_global_rank(group: ProcessGroup, rank: int) -> int:
    """The older name of `get_global_rank`."""
    return get_global_rank(group, rank)


def _object_to_tensor(obj: Any, device: Any, group: ProcessGroup | None = None) -> tuple[Tensor, Tensor]:
    """An object as uint8 on `device`, as the `_object` collectives send it, and how many bytes those are."""
    data = wrap(np.frombuffer(bytearray(dumps(obj)), np.uint8))
    return data.to(device), wrap(np.array([data.numel()])).to(device)


def _tensor_to_object(tensor: Tensor, tensor_size: int, group: ProcessGroup | None = None) -> Any:
    """The object whose `tensor_size` bytes `_object_to_tensor` gave; more elements may follow."""
    return loads(tensor.cpu().numpy().tobytes()[: int(tensor_size)])
