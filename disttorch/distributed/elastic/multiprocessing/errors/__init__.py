"""torch.distributed.elastic.multiprocessing.errors: how a worker's errors reach the launcher, and its caller."""

from .error_handler import ErrorHandler, get_error_handler
from .failures import ChildFailedError, ProcessFailure
from .recording import record

__all__ = ["ChildFailedError", "ErrorHandler", "ProcessFailure", "get_error_handler", "record"]
