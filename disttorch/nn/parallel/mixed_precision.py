"""DistributedDataParallel in mixed precision: a module computes in 16 bits, while its parameters, their gradients and
what optimizers and checkpoints see of them keep their own.
"""

import dataclasses
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any

from ... import dtypes
from ...func.trees import mapped
from ..modules.module import Module
from ..utils.stateless import replaced


@dataclasses.dataclass
class _MixedPrecision:
    """What DistributedDataParallel's `mixed_precision` is set to; None leaves a dtype as it is.

    param_dtype: of parameters and inputs in forward, and so of the computation. Only there: the parameters are the
    wrapper's own again when forward returns, so a checkpoint inside the module that computes it again in backward finds
    other dtypes, and raises. reduce_dtype: in which gradients are averaged (None: param_dtype). buffer_dtype: of
    buffers, from the wrapping on. Only floating-point tensors are cast.
    """

    param_dtype: dtypes.dtype | None = None
    reduce_dtype: dtypes.dtype | None = None
    buffer_dtype: dtypes.dtype | None = None


def cast(value: Any, dtype: dtypes.dtype | None) -> Any:
    """`value` with the floating-point tensors in it as `dtype`; gradients flow back through that."""
    if dtype is None:
        return value
    return mapped(lambda t: t.to(dtype) if t.is_floating_point() else t, value)


def computing_in(dtype: dtypes.dtype, module: Module, ignored: Collection[str]) -> AbstractContextManager:
    """A block in which casts stand in the places of the module's parameters, but for those of the names `ignored`."""
    named = {name: parameter for name, parameter in module.named_parameters() if name not in ignored}
    return replaced(module, cast(named, dtype), tie_weights=True, strict=False)


def cast_buffers(dtype: dtypes.dtype, module: Module, ignored: Collection[str]) -> None:
    """Make the module's buffers `dtype`, but for those of the names `ignored`."""
    for name, buffer in module.named_buffers():
        if name not in ignored:
            buffer.data = cast(buffer, dtype)
