"""torch.multiprocessing: Python's multiprocessing, with tensors sent as shared memory and `spawn` to start ranks."""

from multiprocessing import *

from .memory import is_shared, share
from .sending import init_reductions
from .spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)
from .strategy import get_all_sharing_strategies, get_sharing_strategy, set_sharing_strategy

init_reductions()
