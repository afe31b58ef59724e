"""torch.distributed's face on `disttorch.comm`. Names are loaded when first used: a program without ranks pays
nothing.
"""

from importlib import import_module

_HOMES = {
    "process_group": (
        "DEFAULT_TIMEOUT GroupMember ProcessGroup get_backend get_global_rank get_group_rank get_node_local_rank "
        "get_pg_count get_process_group_ranks get_rank get_world_size group is_initialized rank_scope"
    ),
    "backends": (
        "Backend BackendConfig DebugLevel get_backend_config get_debug_level get_default_backend_for_device "
        "is_available is_backend_available is_gloo_available is_mpi_available is_nccl_available "
        "is_torchelastic_launched is_ucc_available is_xccl_available set_debug_level set_debug_level_from_env "
        "supports_complex"
    ),
    "device_mesh": "DeviceMesh init_device_mesh",
    "meeting": "register_rendezvous_handler rendezvous",
    "gloo_groups": "ProcessGroupGloo",
    "nccl_groups": "ProcessGroupNCCL",
    "groups": (
        "destroy_process_group init_process_group new_group new_subgroups new_subgroups_by_enumeration split_group"
    ),
    "reduce_ops": "RedOpType ReduceOp reduce_op _make_nccl_premul_sum",
    "collectives": (
        "Work _Work _all_gather_base _create_work_from_future _reduce_scatter_base all_gather all_gather_into_tensor "
        "all_gather_single all_reduce all_to_all all_to_all_single barrier broadcast gather monitored_barrier reduce "
        "reduce_scatter reduce_scatter_single reduce_scatter_tensor scatter"
    ),
    "coalesced": "_coalescing_manager all_gather_coalesced all_reduce_coalesced",
    "point_to_point": "P2POp batch_isend_irecv irecv isend recv send",
    "objects": (
        "all_gather_object allow_pickle broadcast_object_list gather_object recv_object_list scatter_object_list "
        "send_object_list"
    ),
    "group_methods": (
        "AllToAllOptions AllreduceCoalescedOptions AllreduceOptions BarrierOptions BroadcastOptions GatherOptions "
        "ReduceOptions ReduceScatterOptions ScatterOptions"
    ),
    "distributed_c10d": "_get_default_group _get_default_store _object_to_tensor _rank_not_in_group _tensor_to_object",
    "stores": "FileStore HashStore PrefixStore Store TCPStore",
    "testing": "run_ranks",
    "utils": (
        "_DEFAULT_FIRST_BUCKET_BYTES _broadcast_coalesced _compute_bucket_assignment_by_size "
        "_verify_params_across_processes"
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
_ERRORS = {
    "DistError": "CommError",
    "DistBackendError": "CommError",
    "DistNetworkError": "CommError",
    "DistStoreError": "StoreError",
    "QueueEmptyError": "QueueEmpty",
}

__all__ = sorted([name for name in (*_HOME_OF, *_ERRORS, "BuiltinCommHookType", "GradBucket") if name[0] != "_"])

_ROOMS = (
    "_composable _functional_collectives algorithms argparse_util checkpoint device_mesh distributed_c10d elastic fsdp "
    "launch launcher optim rpc run tensor utils"
).split()


def __getattr__(name: str):
    if name == "default_pg_timeout":
        name = "DEFAULT_TIMEOUT"
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name == "BuiltinCommHookType":
        value = import_module(".algorithms.ddp_comm_hooks", __name__).BuiltinCommHookType
    elif name == "GradBucket":
        value = import_module("disttorch.nn.parallel.bucket").GradBucket
    elif name in _HOME_OF:
        value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    elif name in _ERRORS:
        value = getattr(import_module("disttorch.comm"), _ERRORS[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
