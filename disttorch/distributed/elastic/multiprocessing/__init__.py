"""torch.distributed.elastic.multiprocessing: how a worker's errors reach the launcher."""

from . import errors
