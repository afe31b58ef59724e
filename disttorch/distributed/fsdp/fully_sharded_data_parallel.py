"""FullyShardedDataParallel, which is not there: no module is an instance of it."""

from typing import Any

from ...nn import Module


class FullyShardedDataParallel(Module):
    """What no module here is an instance of; it cannot be made."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError(
            "parameters that are split over ranks (FSDP) are not supported: use DistributedDataParallel, with "
            "ZeroRedundancyOptimizer where the optimizer's state is large"
        )
