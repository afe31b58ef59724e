"""torch.distributed.elastic.multiprocessing.errors.handlers."""

from .error_handler import get_error_handler as get_error_handler
