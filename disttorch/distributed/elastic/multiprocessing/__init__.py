"""torch.distributed.elastic.multiprocessing: what programs that start workers name of them."""

from . import errors
from .api import DefaultLogsSpecs, SignalException, Std, to_map
from .errors import ChildFailedError, ProcessFailure, record

__all__ = [
    "ChildFailedError",
    "DefaultLogsSpecs",
    "ProcessFailure",
    "SignalException",
    "Std",
    "errors",
    "record",
    "to_map",
]
