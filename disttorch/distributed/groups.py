"""Making and ending process groups."""

import atexit
import os
from datetime import timedelta
from hashlib import sha1
from typing import Any

from ..comm import PrefixStore, connect
from ..comm.liveness import heartbeat_limit
from .arguments import integer
from .backends import BackendOptions, check_backend, plugin
from .meeting import rendezvous
from .process_group import CommGroup, GroupMember, ProcessGroup, resolve, seconds, world


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
    them). With the backend "mpi" the ranks are those that mpiexec has started, whatever else is said. `timeout`
    (default 30 minutes) bounds this call and every later operation. Raises ValueError for bad or missing settings,
    DeadlineExceeded naming the ranks that did not come.
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
        if name == "mpi":
            from ..comm.mpi import mpi_group

            group = mpi_group(limit)
            if int(os.environ.get("WORLD_SIZE", group.size)) != group.size:
                raise RuntimeError(
                    f"WORLD_SIZE={os.environ['WORLD_SIZE']}, and MPI has started {group.size} processes: the backend "
                    "'mpi' takes its ranks from mpiexec"
                )
            adopt(group, name)
            return
        if store is None:
            store, rank, world_size = next(rendezvous(init_method or "env://", rank, world_size, timeout=limit))
            owned.append(store)
        elif rank < 0 or world_size <= 0:
            raise AssertionError("world_size must be positive and rank must be non-negative if using store")
        rank, world_size = integer(rank, "rank", "an int"), integer(world_size, "world_size", "an int")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be between 0 and world_size - 1 = {world_size - 1}, got {rank}")
        me.made += 1
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        meeting = PrefixStore(f"world/{attempt}/{me.made}/{group_name}", store)
        made = _join(name, meeting, rank, list(range(world_size)), limit, pg_options)
    except BaseException:
        _close(owned)
        raise
    made._name(made.ranks, name, "0", store, "default_pg")
    _enter(made, owned)


def _join(backend: str, store: Any, rank: int, ranks: list[int], timeout: float, pg_options: Any) -> ProcessGroup:
    """A group that meets in `store`, in which this one is number `rank`; `ranks` are the members' in the job."""
    chosen, size = plugin(backend), len(ranks)
    if chosen is None:
        return CommGroup(connect(store, rank, size, timeout=timeout), ranks, backend, "", store)
    limit = timedelta(seconds=timeout)
    if chosen.extended_api:
        made = chosen.creator_fn(BackendOptions(store, rank, size, limit, "", ranks), pg_options)
    else:
        made = chosen.creator_fn(store, rank, size, limit)
    if not isinstance(made, ProcessGroup):
        raise TypeError(f"the creator of backend '{backend}' must return a ProcessGroup, got {type(made).__name__}")
    made.comm.timeout, made.ranks = timeout, ranks
    return made


def _new_process_group_helper(
    group_size: int,
    group_rank: int,
    global_ranks_in_group: list[int],
    backend: str,
    store: Any,
    group_name: str,
    backend_options: Any = None,
    timeout: timedelta | float | None = None,
    pg_tag: str | None = None,
    device_id: Any = None,
    group_desc: str | None = None,
) -> tuple[ProcessGroup, Any]:
    """A group of `group_size` ranks that meet in `store` under a name, beside the default group or without one: how
    programs join ranks of several jobs. `global_ranks_in_group`: their ranks in the job; [] where they have none in
    common. Returns the group and its part of the store.
    """
    name, meeting = check_backend(backend), PrefixStore(group_name, store)
    ranks = list(global_ranks_in_group) or list(range(group_size))
    made = _join(name, meeting, group_rank, ranks, seconds(timeout), backend_options)
    made._name(ranks, name, group_name, meeting, group_desc or "undefined")
    world().groups.append(made)
    return made, meeting


def adopt(comm_group: Any, backend: str = "gloo") -> ProcessGroup:
    """Make a `comm.Group` this rank's default process group."""
    return _enter(CommGroup(comm_group, list(range(comm_group.size)), backend, "0", None, "default_pg"), [])


def _enter(group: ProcessGroup, owned: list) -> ProcessGroup:
    me = world()
    me.default, me.groups, me.owned = group, [group, *me.groups], owned
    atexit.register(_leave_at_exit, me)
    return group


def _leave_at_exit(me) -> None:
    if me.default is not None:
        _leave(me)
        me.default = None


def _leave(me) -> None:
    """Close the default group. The rank that serves the store stays while the others need it to see who is alive."""
    me.default.comm.close(heartbeat_limit() if _serves(me.owned) else 0.0)
    _close(me.owned)


def _serves(owned: list) -> bool:
    return any(getattr(thing, "serves", False) for thing in owned)


def _close(owned: list) -> None:
    for thing in reversed(owned):
        thing.close()
    owned.clear()


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leave a group and release what it holds; the default one (None) with all that were made from it. Nothing happens
    where this rank is not in the group; ValueError for one that has been left.
    """
    me = world()
    if group == GroupMember.NON_GROUP_MEMBER:
        return
    if group is None and me.default is None:
        raise AssertionError("Process group cannot be None")
    target = resolve(group)
    if target is me.default:
        _leave(me)
        me.default, me.groups = None, []
        me.asked.clear()
        atexit.unregister(_leave_at_exit)
    else:
        if target not in me.groups:
            raise ValueError(f"Invalid process group specified: {target} is not of this job, or has ended")
        target.comm.close()
        me.groups.remove(target)


def new_group(
    ranks: list[int] | None = None,
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
    sort_ranks: bool = True,
) -> Any:
    """A group of some of the job's ranks (all if None), in ascending order unless `sort_ranks` is False.

    Every rank of the job must call it, in the same order; with `use_local_synchronization` only those that will be in
    it. Ranks that are not in it get GroupMember.NON_GROUP_MEMBER (with `use_local_synchronization` None). timeout: of
    its operations (default: the default group's).
    """
    parent = resolve(None)
    chosen = [integer(rank, "ranks", "ranks (ints)") for rank in (parent.ranks if ranks is None else ranks)]
    if use_local_synchronization and parent.rank() not in chosen:
        return None
    for r in chosen:
        if not 0 <= r < parent.size():
            last = parent.size() - 1
            raise ValueError(f"Rank {r} is out of range. Valid ranks are 0 to {last} (world_size={parent.size()})")
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"ranks list must not contain duplicate entries, got {chosen}")
    chosen = sorted(chosen) if sort_ranks else chosen
    limit = None if timeout is None else seconds(timeout)
    name = check_backend(backend or parent.backend)
    called = _next_name(chosen if use_local_synchronization else None)
    if plugin(name) is None and isinstance(parent, CommGroup):
        made = parent.comm.split(chosen, by_members=use_local_synchronization, timeout=limit)
        group = made and CommGroup(made, chosen, name, "")
    else:
        group = _beside(parent, name, chosen, called, limit, pg_options)
    if group is None:
        return GroupMember.NON_GROUP_MEMBER
    group._name(chosen, name, called, parent.store, group_desc)
    world().groups.append(group)
    return group


def _next_name(members: list[int] | None) -> str:
    """The next group's name, alike on all ranks that make it: a number where the whole job does, "0" being the default
    group; else, if `members` alone do, a hash.
    """
    asked, key = world().asked, None if members is None else tuple(members)
    asked[key] += 1
    if key is None:
        return str(asked[key])
    return sha1("_".join(map(str, (*key, asked[key]))).encode(), usedforsecurity=False).hexdigest()


def _beside(
    parent: ProcessGroup, backend: str, ranks: list[int], name: str, timeout: float | None, pg_options: Any
) -> ProcessGroup | None:
    """A group whose ranks meet in the job's store, as one of the two backends is written in Python; None outside."""
    if parent.rank() not in ranks:
        return None
    if parent.store is None:
        raise ValueError(f"a group of backend '{backend}' meets in a store, and the default group has none")
    store = PrefixStore(f"group/{world().made}/{name}", parent.store)
    return _join(backend, store, ranks.index(parent.rank()), ranks, timeout or parent.comm.timeout, pg_options)


def new_subgroups(
    group_size: int | None = None,
    group: ProcessGroup | None = None,
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list]:
    """Groups of `group_size` neighbouring ranks each (by default the ranks of one host); (this rank's, all)."""
    ranks = resolve(group).ranks
    total = len(ranks)
    size = int(os.environ.get("LOCAL_WORLD_SIZE", total)) if group_size is None else group_size
    if size <= 0:
        raise ValueError(f"The arg 'group_size' ({size}) must be positive")
    if size > total:
        raise ValueError(f"The arg 'group_size' ({size}) must not exceed the world size ({total})")
    if total % size:
        raise ValueError(f"The world size ({total}) must be divisible by 'group_size={size}'")
    lists = [ranks[s : s + size] for s in range(0, total, size)]
    return new_subgroups_by_enumeration(lists, timeout, backend, pg_options, group_desc)


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: list[list[int]],
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list]:
    """A group for each list of ranks, which must not overlap; (this rank's, all)."""
    if not ranks_per_subgroup_list or not any(ranks_per_subgroup_list):
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    groups_of: dict[int, list[int]] = {}
    for ranks in ranks_per_subgroup_list:
        for rank in ranks:
            if rank in groups_of:
                raise ValueError(f"Rank {rank} has appeared in both subgroup {groups_of[rank]} and {ranks}")
            groups_of[rank] = ranks
    groups = [
        new_group(ranks, timeout, backend, pg_options, group_desc=group_desc) for ranks in ranks_per_subgroup_list
    ]
    mine = next((g for g in groups if g != GroupMember.NON_GROUP_MEMBER), None)
    return mine, groups


def split_group(
    parent_pg: ProcessGroup | None = None,
    split_ranks: list[list[int]] | None = None,
    timeout: timedelta | float | None = None,
    pg_options: Any = None,
    group_desc: str | None = None,
) -> ProcessGroup | None:
    """This rank's group of those that `split_ranks` (ranks of the parent group) lists; None if it is in none.

    Every rank of the parent must call it alike.
    """
    parent = resolve(parent_pg)
    if not split_ranks:
        raise ValueError("split_ranks cannot be None or empty")
    mine = None
    for ranks in split_ranks:
        limit = None if timeout is None else seconds(timeout)
        made = parent.comm.split(sorted(ranks), timeout=limit)
        if made is not None:
            chosen = [parent.ranks[rank] for rank in sorted(ranks)]
            mine = CommGroup(made, chosen, parent.backend, _next_name(chosen), parent.store, group_desc or "undefined")
            world().groups.append(mine)
    return mine
