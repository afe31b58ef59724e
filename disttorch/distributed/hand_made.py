"""What groups have in common that programs make by hand, beside the default one or without it."""

import weakref
from typing import Any

from ..comm import connect
from ..comm.clock import spawn
from .process_group import CommGroup


class HandMadeGroup(CommGroup):
    """A group of the ranks that meet in a store. Who drops it has left it, as by `shutdown`; the others are told."""

    def __init__(self, backend: str, store: Any, rank: int, size: int, timeout: float, address: str | None = None):
        comm = connect(store, rank, size, timeout=timeout, address=address)
        super().__init__(comm, list(range(size)), backend, "", store)
        # In a thread, since garbage is collected anywhere, maybe under a lock that closing takes, too.
        weakref.finalize(self, spawn, comm.close, "close").atexit = False
