"""torch.distributed.fsdp: the type by which programs ask whether a module's parameters are split over ranks."""

from .fully_sharded_data_parallel import FullyShardedDataParallel

__all__ = ["FullyShardedDataParallel"]
