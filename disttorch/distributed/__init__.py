"""torch.distributed's face on `disttorch.comm`. Names are loaded when first used: a program without ranks pays
nothing.
"""

from importlib import import_module

_HOMES = {
    "process_group": (
        "GroupMember ProcessGroup get_backend get_global_rank get_group_rank get_process_group_ranks get_rank "
        "get_world_size "
        "is_initialized rank_scope"
    ),
    "groups": (
        "destroy_process_group init_process_group is_available is_gloo_available is_mpi_available is_nccl_available "
        "is_torchelastic_launched new_group new_subgroups new_subgroups_by_enumeration"
    ),
    "collectives": (
        "ReduceOp Work all_gather all_gather_into_tensor all_reduce all_to_all all_to_all_single barrier broadcast "
        "gather "
        "monitored_barrier reduce reduce_op reduce_scatter reduce_scatter_tensor scatter"
    ),
    "point_to_point": "P2POp batch_isend_irecv irecv isend recv send",
    "objects": (
        "all_gather_object broadcast_object_list gather_object recv_object_list scatter_object_list send_object_list"
    ),
    "stores": "FileStore HashStore PrefixStore Store TCPStore",
    "testing": "run_ranks",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
_ERRORS = {
    "DistError": "CommError",
    "DistBackendError": "CommError",
    "DistNetworkError": "CommError",
    "DistStoreError": "StoreError",
}

__all__ = sorted([*_HOME_OF, *_ERRORS])


class _GroupType(type):
    @property
    def WORLD(cls):
        from .process_group import world

        return world().default


class group(metaclass=_GroupType):
    """`group.WORLD` is the default process group."""


def __getattr__(name: str):
    if name in ("algorithms", "elastic", "launch", "optim", "run"):
        return import_module(f".{name}", __name__)
    if name in _HOME_OF:
        value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    elif name in _ERRORS:
        value = getattr(import_module("disttorch.comm"), _ERRORS[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
