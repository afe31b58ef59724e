"""What DistributedDataParallel tells of itself, under the names of PyTorch's `_get_ddp_logging_data`."""

import os
from collections.abc import Iterable
from typing import Any

from .sync_batchnorm import SyncBatchNorm

VARIABLES = "MASTER_PORT MASTER_ADDR TORCH_DISTRIBUTED_DEBUG CUDA_VISIBLE_DEVICES".split()
GLOO_VARIABLES = "GLOO_SOCKET_IFNAME GLOO_DEVICE_TRANSPORT".split()
C_NAMES = {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16"}


def logging_data(ddp: Any) -> dict[str, Any]:
    """Settings and counts: bytes of sizes, indices of parameters as text; -1 is "no output device", "N/A" an unset
    variable.
    """
    reducer, comm = ddp.reducer, ddp.process_group
    parameters = reducer.parameters
    backend = comm.name()
    found = {
        "world_size": comm.size(),
        "rank": comm.rank(),
        "module_name": type(ddp.module).__name__,
        "device_ids": _listed(ddp.device_ids or ()),
        "output_device": -1 if ddp.output_device is None else ddp.output_device,
        "broadcast_buffers": int(ddp.broadcast_buffers),
        "bucket_cap_bytes": ddp.bucket_bytes_cap,
        "find_unused_parameters": int(ddp.find_unused_parameters and not ddp.static_graph),
        "gradient_as_bucket_view": int(ddp.gradient_as_bucket_view),
        "static_graph": int(ddp.static_graph),
        "backend_name": backend,
        "iteration": max(reducer.iterations - 1, 0),
        "dtypes": _listed(sorted({C_NAMES.get(name, name) for name in (p._data.dtype.name for p in parameters)})),
        "total_parameter_size_bytes": sum(p._data.nbytes for p in parameters),
        "num_parameter_tensors": len(parameters),
        "bucket_sizes": _listed(reducer.first_sizes),
        "has_sync_bn": int(any(isinstance(m, SyncBatchNorm) for m in ddp.module.modules())),
        "has_error": int(bool(reducer.error)),
    }
    for name in VARIABLES + (GLOO_VARIABLES if backend == "gloo" else []):
        found[name.lower()] = os.environ.get(name, "N/A")
    if reducer.error:
        found["error"] = reducer.error
    if reducer.hook is not None:
        found["comm_hook"] = ddp.comm_hook_name
    if reducer.settled and reducer.hook is None:
        found["has_rebuilt_buckets"] = 1
        found["rebuilt_bucket_sizes"] = _listed(reducer.sizes())
        found["rebuilt_per_bucket_param_indices"] = _listed(" ".join(map(str, b.indices)) for b in reducer.buckets)
        found["prev_iteration_grad_ready_order_indices"] = _listed(reducer.arrived)
        found["num_buckets_reduced"] = len(reducer.buckets)
    return found


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))
