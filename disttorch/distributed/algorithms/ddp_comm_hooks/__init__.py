"""What DistributedDataParallel may do with a bucket instead of averaging it: `model.register_comm_hook(state,
hook)`.
"""

from collections.abc import Callable
from enum import Enum, member
from functools import partial
from typing import Any

from . import debugging_hooks, default_hooks, post_localSGD_hook, powerSGD_hook, quantization_hooks

default, debugging, powerSGD, quantization = default_hooks, debugging_hooks, powerSGD_hook, quantization_hooks

__all__ = [
    "BuiltinCommHookType",
    "DDPCommHookType",
    "debugging_hooks",
    "default_hooks",
    "post_localSGD_hook",
    "powerSGD_hook",
    "quantization_hooks",
    "register_ddp_comm_hook",
]


def _plain(hook: Callable, model: Any, state: Any) -> None:
    model.register_comm_hook(state, hook)


def _power(hook: Callable, rank: int, model: Any, state: Any) -> None:
    model.register_comm_hook(powerSGD_hook.PowerSGDState(state, matrix_approximation_rank=rank), hook)


class DDPCommHookType(Enum):
    """The hooks by name; a value is a function of (model, state) that registers the hook."""

    ALLREDUCE = member(partial(_plain, default_hooks.allreduce_hook))
    FP16_COMPRESS = member(partial(_plain, default_hooks.fp16_compress_hook))
    BF16_COMPRESS = member(partial(_plain, default_hooks.bf16_compress_hook))
    QUANTIZE_PER_TENSOR = member(partial(_plain, quantization_hooks.quantization_pertensor_hook))
    QUANTIZE_PER_CHANNEL = member(partial(_plain, quantization_hooks.quantization_perchannel_hook))
    POWER_SGD = member(partial(_power, powerSGD_hook.powerSGD_hook, 1))
    POWER_SGD_RANK2 = member(partial(_power, powerSGD_hook.powerSGD_hook, 2))
    BATCHED_POWER_SGD = member(partial(_power, powerSGD_hook.batched_powerSGD_hook, 1))
    BATCHED_POWER_SGD_RANK2 = member(partial(_power, powerSGD_hook.batched_powerSGD_hook, 2))
    NOOP = member(partial(_plain, debugging_hooks.noop_hook))


class BuiltinCommHookType(Enum):
    """The hooks that PyTorch has in C++, for `_register_builtin_comm_hook`; a value is the hook."""

    ALLREDUCE = member(default_hooks.allreduce_hook)
    FP16_COMPRESS = member(default_hooks.fp16_compress_hook)


def register_ddp_comm_hook(comm_hook_type: DDPCommHookType, model: Any, state: Any = None) -> None:
    """Register one of the hooks above with a DistributedDataParallel model; state: a process group (None: default)."""
    comm_hook_type.value(model=model, state=state)
