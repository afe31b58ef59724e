"""Process groups of tensors: what `torch.distributed` calls a group, over a `comm.Group` of arrays.

A process has one world; a thread that stands for a rank (`run_ranks` with threads) has a world of its own.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from enum import IntEnum
from typing import Any

from .group_methods import GroupMethods

DEFAULT_TIMEOUT = timedelta(minutes=30)


def seconds(timeout: timedelta | float | None, positive: bool = True) -> float:
    """A timeout in seconds (None: the default one's); ValueError unless it is positive, where it must be."""
    value = DEFAULT_TIMEOUT if timeout is None else timeout
    if not isinstance(value, timedelta | float | int):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    value = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if positive and value <= 0:
        raise ValueError(f"timeout must be positive, got {timeout}")
    return value


class BackendType(IntEnum):
    """Numbers of the backends, as groups put together by hand name them."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL, CUSTOM = range(7)


class ProcessGroup:
    """Some of the ranks of the job. `ranks` are their global numbers, in the group's order. `bound_device_id` is None:
    groups serve tensors of all devices.

    A subclass in Python brings its collectives as methods (see `python_groups`): ProcessGroup(rank, size). And
    ProcessGroup(store, rank, size) is served by what is registered with it (see `assembled_groups`).
    """

    BackendType = BackendType
    bound_device_id: Any = None

    def __new__(cls, *arguments: Any, **settings: Any):
        if cls is ProcessGroup and len(arguments) == 3:
            from .assembled_groups import AssembledGroup

            return super().__new__(AssembledGroup)
        return super().__new__(cls)

    def __init__(self, rank: int, size: int):
        from .python_groups import MethodComm

        self.comm: Any = MethodComm(self, rank, size, seconds(None))
        self._name(list(range(size)), "custom", "", None)

    def _name(self, ranks: list[int], backend: str, name: str, store: Any, desc: str | None = None) -> None:
        """What is said of a group once it is made."""
        self.ranks, self.backend, self._group_name, self.store = ranks, backend, name, store
        self._group_desc = desc or "undefined"

    @property
    def group_name(self) -> str:
        return self._group_name

    @property
    def group_desc(self) -> str:
        return self._group_desc

    def rank(self) -> int:
        return self.comm.rank

    def size(self) -> int:
        return self.comm.size

    def getBackendName(self) -> str:
        return self.backend

    def name(self) -> str:
        return self.getBackendName()

    def _get_backend_name(self) -> str:
        return self.getBackendName()

    def _get_backend(self, device: Any) -> "ProcessGroup":
        """What serves tensors of a device: the group itself, whatever the device is."""
        return self

    def __repr__(self):
        return f"<ProcessGroup {self.group_name} ({self.backend}): rank {self.rank()} of {self.size()}>"


class CommGroup(GroupMethods, ProcessGroup):
    """A process group over a `comm.Group`."""

    def __init__(self, comm_group: Any, ranks: list[int], backend: str, name: str, store: Any = None, desc: str = ""):
        self.comm = comm_group
        self._name(ranks, backend, name, store, desc)

    def shutdown(self) -> None:
        """Leave the group and release what it holds; whoever still waits for this rank fails."""
        self.comm.close()

    def abort(self) -> None:
        """As `shutdown`, and what this rank waits for in the group fails too, in whatever thread."""
        self.comm.abort(f"rank {self.rank()} has aborted the process group")
        self.comm.close()

    def set_timeout(self, timeout: timedelta | float) -> None:
        """Limit later operations to `timeout`, a timedelta or seconds."""
        self.comm.timeout = seconds(timeout)

    _set_default_timeout = set_timeout

    def get_group_store(self) -> Any:
        """The store in which the ranks have met."""
        return self.store

    def _set_sequence_number_for_group(self) -> None:
        """Nothing: collectives are numbered from the beginning."""

    def _get_sequence_number_for_group(self) -> int:
        """How many collectives have begun."""
        return self.comm.began

    @staticmethod
    def create_device(**place: Any) -> Any:
        """A network address for the options of a `ProcessGroupGloo`: of a hostname or an interface."""
        from .gloo_groups import create_device

        return create_device(**place)

    def monitored_barrier(self, timeout: timedelta | float | None = None, wait_all_ranks: bool = False) -> None:
        """As `disttorch.distributed.monitored_barrier` on this group."""
        from .collectives import monitored_barrier

        monitored_barrier(self, timeout, wait_all_ranks)


class _WithWorld(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        return world().default

    @WORLD.setter
    def WORLD(cls, group: ProcessGroup | None) -> None:
        world().default = group


class group(metaclass=_WithWorld):
    """`group.WORLD` is the default process group."""


class GroupMember(metaclass=_WithWorld):
    """Names for "the default group" and "a group that this rank is not in"."""

    NON_GROUP_MEMBER: Any = -100  # PyTorch's value


class World:
    """What one rank knows: its default group and the groups made from it."""

    def __init__(self):
        self.default: ProcessGroup | None = None
        self.groups: list[ProcessGroup] = []
        self.owned: list[Any] = []  # stores and servers to be closed with the world
        self.made = 0  # how many worlds have met in one store: each gets its own prefix
        self.asked: Counter = Counter()  # how many groups were asked for by all ranks (None), by their members alone


_process = World()
_thread = threading.local()


def world() -> World:
    """This thread's world: its own if it stands for a rank, else the process's."""
    return getattr(_thread, "world", None) or _process


@contextlib.contextmanager
def rank_scope() -> Iterator[World]:
    """Let this thread be a rank of its own: inside, the default group is the thread's, not the process's."""
    before = getattr(_thread, "world", None)
    _thread.world = World()
    try:
        yield _thread.world
    finally:
        _thread.world = before


def resolve(group: ProcessGroup | None) -> ProcessGroup:
    """The group meant: the default one for None. ValueError (PyTorch's texts) where there is none, or we are not in
    it.
    """
    if isinstance(group, ProcessGroup):
        return group
    if group is not None:
        if isinstance(group, int) and group == GroupMember.NON_GROUP_MEMBER:
            raise ValueError("Invalid process group specified: this rank is not a member of the group")
        raise ValueError(f"Invalid process group specified: {group!r} is none; new_group() makes one")
    default = world().default
    if default is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return default


def is_initialized() -> bool:
    """Whether the default process group is there."""
    return world().default is not None


def get_rank(group: ProcessGroup | None = None) -> int:
    """This process's number in the group; -1 if it is not in it."""
    return -1 if group == GroupMember.NON_GROUP_MEMBER else resolve(group).rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many processes the group has; -1 if this one is not in it."""
    return -1 if group == GroupMember.NON_GROUP_MEMBER else resolve(group).size()


def get_backend(group: ProcessGroup | None = None) -> str:
    """The name of the group's backend, such as "gloo"."""
    return resolve(group).backend


def get_pg_count() -> int:
    """How many process groups this rank has, the default one included."""
    return len(world().groups)


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """This process's number on its host, from LOCAL_RANK; RuntimeError where that is not set and no fallback given."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError(
        "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work, "
        "assuming you are not running in a multi-device context and want the code to run locally instead."
    )


def get_process_group_ranks(group: ProcessGroup | None = None) -> list[int]:
    """The members' ranks in the default group, in the order of their ranks in this one."""
    return list(resolve(group).ranks)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The number in the job of the group's rank `group_rank`."""
    ranks = resolve(group).ranks
    if group_rank not in range(len(ranks)):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return ranks[group_rank]


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number in the group of the job's rank `global_rank`."""
    ranks = resolve(group).ranks
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return ranks.index(global_rank)
