"""Making and ending process groups: `init_process_group` and its ways of meeting (env://, tcp://, file://, a store)."""

import atexit
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

from ..comm import FileStore, PrefixStore, StoreClient, StoreServer, connect
from .process_group import GroupMember, ProcessGroup, resolve, world

BACKENDS = ("zmq", "gloo", "nccl", "mpi", "undefined")
DEFAULT_TIMEOUT = timedelta(minutes=30)


def seconds(timeout: timedelta | float | None) -> float:
    """A timeout in seconds; ValueError unless it is positive."""
    value = DEFAULT_TIMEOUT if timeout is None else timeout
    value = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if value <= 0:
        raise ValueError(f"timeout must be positive, got {timeout}")
    return value


def check_backend(backend: str | None) -> str:
    """The name of a backend that can be had here: our own (`zmq`, alias `gloo`; `nccl` on simulated devices)."""
    name = "gloo" if backend is None else str(backend).lower()
    name = name.split(",")[0].partition(":")[2] or name  # "cpu:gloo,cuda:nccl"
    if name not in BACKENDS:
        raise ValueError(f"Invalid backend: '{backend}'. Must be one of {', '.join(BACKENDS[:4])}")
    if name == "mpi":
        raise RuntimeError("Distributed package doesn't have MPI built in: use the backend 'zmq'")
    return "gloo" if name == "undefined" else name


def _from_environment(environ: Mapping[str, str], rank: int, world_size: int) -> tuple[int, int, str, int]:
    """(rank, world size, address, port) from RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT."""

    def need(name: str) -> str:
        if name not in environ:
            raise ValueError(
                f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, "
                "but not set"
            )
        return environ[name]

    rank = int(need("RANK")) if rank < 0 else rank
    world_size = int(need("WORLD_SIZE")) if world_size < 0 else world_size
    return rank, world_size, need("MASTER_ADDR"), int(need("MASTER_PORT"))


def _tcp_store(rank: int, world_size: int, host: str, port: int, timeout: float, serve: bool, owned: list) -> Any:
    """A client of the store at host:port, which rank 0 serves (unless the launcher does)."""
    if serve:
        server = StoreServer(host, port)
        owned.append(server)
        port = server.port
    client = StoreClient(host, port, timeout)
    owned.append(client)
    return client


def _meet(init_method: str, rank: int, world_size: int, timeout: float, owned: list) -> tuple[Any, int, int]:
    """The store that an init_method names, with rank and world size."""
    url = urlparse(init_method)
    query = {k: int(v[0]) for k, v in parse_qs(url.query).items() if k in ("rank", "world_size")}
    rank, world_size = query.get("rank", rank), query.get("world_size", world_size)
    if url.scheme == "env":
        rank, world_size, host, port = _from_environment(os.environ, rank, world_size)
        served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        served = served and os.environ.get("DISTTORCH_AGENT_PORT", str(port)) == str(port)
        serve = rank == 0 and not served
        return _tcp_store(rank, world_size, host, port, timeout, serve, owned), rank, world_size
    if rank < 0 or world_size < 0:
        missing = "rank" if rank < 0 else "world_size"
        raise ValueError(
            f"Error initializing torch.distributed using {url.scheme}:// rendezvous: {missing} parameter missing"
        )
    if url.scheme == "tcp":
        if not url.port:
            raise ValueError("Error initializing torch.distributed using tcp:// rendezvous: port number missing")
        return (
            _tcp_store(rank, world_size, url.hostname or "127.0.0.1", url.port, timeout, rank == 0, owned),
            rank,
            world_size,
        )
    if url.scheme == "file":
        store = FileStore(url.path, world_size, timeout)
        owned.append(store)
        return store, rank, world_size
    raise RuntimeError(f"No rendezvous handler for {url.scheme}://")


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | float | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Join the job's default process group; blocks until all `world_size` ranks are there.

    Without `init_method` and `store`: env://, which reads RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT (the launcher sets
    them). `timeout` (default 30 minutes) bounds this call and every later operation. Raises ValueError for bad or
    missing settings, DeadlineExceeded naming the ranks that did not come.
    """
    me = world()
    if me.default is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    limit = seconds(timeout)
    name = check_backend(backend)
    owned: list = []
    try:
        if store is None:
            store, rank, world_size = _meet(init_method or "env://", rank, world_size, limit, owned)
        elif rank < 0 or world_size <= 0:
            raise AssertionError("world_size must be positive and rank must be non-negative if using store")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be between 0 and world_size - 1 = {world_size - 1}, got {rank}")
        me.made += 1
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        group = connect(PrefixStore(f"world/{attempt}/{me.made}/{group_name}", store), rank, world_size, timeout=limit)
    except BaseException:
        _close(owned)
        raise
    adopt(group, name, store, owned)


def adopt(comm_group: Any, backend: str = "gloo", store: Any = None, owned: list | None = None) -> ProcessGroup:
    """Make a `comm.Group` this rank's default process group."""
    me = world()
    me.default = ProcessGroup(comm_group, list(range(comm_group.size)), backend, "default_pg", store)
    me.groups = [me.default]
    me.owned = owned or []
    atexit.register(_leave_at_exit, me)
    return me.default


def _leave_at_exit(me) -> None:
    if me.default is not None:
        me.default.comm.close()
        _close(me.owned)
        me.default = None


def _close(owned: list) -> None:
    for thing in reversed(owned):
        thing.close()
    owned.clear()


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leave a group and release what it holds; the default one (None) with all that were made from it."""
    me = world()
    target = resolve(group)
    if target is me.default:
        target.comm.close()
        _close(me.owned)
        me.default, me.groups = None, []
        atexit.unregister(_leave_at_exit)
    else:
        target.comm.close()
        me.groups = [g for g in me.groups if g is not target]


def new_group(
    ranks: list[int] | None = None,
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> Any:
    """A group of some of the job's ranks (all if None). Every rank of the job must call it, in the same order.

    Ranks that are not in it get GroupMember.NON_GROUP_MEMBER.
    """
    parent = resolve(None)
    chosen = list(parent.ranks) if ranks is None else sorted(ranks)
    for r in chosen:
        if not 0 <= r < parent.size():
            raise ValueError(f"The new group's rank should be within the world_size set by init_process_group, got {r}")
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"new_group: ranks must not repeat, got {ranks}")
    made = parent.comm.split(chosen)
    if made is None:
        return GroupMember.NON_GROUP_MEMBER
    group = ProcessGroup(
        made,
        chosen,
        check_backend(backend or parent.backend),
        group_desc or f"group_{len(world().groups)}",
        parent.store,
    )
    world().groups.append(group)
    return group


def new_subgroups(
    group_size: int | None = None,
    group: ProcessGroup | None = None,
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list]:
    """Groups of `group_size` neighbouring ranks each (by default the ranks of one host); (this rank's, all)."""
    total = resolve(group).size()
    size = group_size or int(os.environ.get("LOCAL_WORLD_SIZE", total))
    if size <= 0:
        raise ValueError(f"The arg 'group_size' ({size}) must be positive")
    if total % size:
        raise ValueError(f"The world size ({total}) must be divisible by 'group_size={size}'")
    return new_subgroups_by_enumeration([list(range(s, s + size)) for s in range(0, total, size)], timeout, backend)


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: list[list[int]],
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list]:
    """A group for each list of ranks, which must not overlap; (this rank's, all)."""
    flat = [r for ranks in ranks_per_subgroup_list for r in ranks]
    if not flat:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    if len(set(flat)) != len(flat):
        raise ValueError("ranks_per_subgroup_list: a rank may be in one subgroup only")
    groups = [new_group(ranks, timeout, backend) for ranks in ranks_per_subgroup_list]
    mine = next((g for g in groups if g is not GroupMember.NON_GROUP_MEMBER), None)
    return mine, groups


def is_available() -> bool:
    """True: the package is always there."""
    return True


def is_torchelastic_launched() -> bool:
    """Whether this process was started by the launcher."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_gloo_available() -> bool:
    return True


def is_nccl_available() -> bool:
    """Whether the backend name "nccl" serves here: on simulated devices it does, by our own transport."""
    from .. import devices

    return devices.device_count() > 0


def is_mpi_available() -> bool:
    return False
