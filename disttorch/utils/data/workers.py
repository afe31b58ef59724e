"""A DataLoader's iteration with worker processes: batches are asked for in advance, and given out in order."""

import contextlib
import copy
import multiprocessing
import os
import pickle
import socket
import sys
import weakref
from collections import deque
from multiprocessing import connection as connections
from multiprocessing import reduction

from ...autograd.variable import Tensor
from . import worker
from .blocks import Borrower
from .dataset import IterableDataset

PATIENCE = 5.0  # seconds that a worker gets to finish what it does before it is terminated


class _Link:
    """The main process's end of one worker: process, connection, borrowed memory."""

    def __init__(self, job: worker.Job, context, others: list):
        self.id = job.id
        self.connection, theirs = context.Pipe(duplex=True)
        inherited = [*others, self.connection] if context.get_start_method() == "fork" else []
        self.process = context.Process(
            target=worker.run,
            args=(job, theirs, inherited, os.getpid()),
            daemon=True,
            name=f"DataLoader worker {job.id}",
        )
        try:
            self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()
        self.borrowed = Borrower()
        self.active = True  # False: its share of an iterable dataset has ended

    def send(self, *message):
        self.connection.send((*message, self.borrowed.take_returned()))

    def receive(self) -> tuple:
        """(kind, task, value) of the worker's next message."""
        kind, task, sizes = self.connection.recv()
        for size in sizes:
            self.borrowed.add(reduction.recv_handle(self.connection), size)
        payload = self.connection.recv_bytes()
        return kind, task, self.borrowed.unpickled(payload) if kind == worker.BATCH else pickle.loads(payload)


class Workers:
    """The processes of one DataLoader, each asked for `prefetch_factor` batches in advance."""

    def __init__(self, loader, base_seed: int):
        self.in_order, self.timeout, self.ahead = loader.in_order, loader.timeout, loader.prefetch_factor
        context = loader.multiprocessing_context
        if context is None:
            usual = multiprocessing.get_start_method(allow_none=True)
            context = multiprocessing.get_context(usual or ("fork" if sys.platform == "linux" else "spawn"))
        self.links: list[_Link] = []
        self._finalizer = weakref.finalize(self, _stop, self.links, os.getpid())
        self._iterable = isinstance(loader.dataset, IterableDataset)
        try:
            for i in range(loader.num_workers):
                job = worker.Job(
                    loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last, base_seed, i,
                    loader.num_workers, loader.worker_init_fn,
                )  # fmt: skip
                self.links.append(_Link(job, context, [link.connection for link in self.links]))
        except BaseException:
            self.stop()
            raise

    def start(self, indices):
        """Begin an epoch over the index sampler's iterator."""
        self.indices = indices
        self.waiting: deque[tuple[int, _Link]] = deque()  # what has been asked for, in order
        self.task = self.turn = 0
        for _ in range(self.ahead * len(self.links)):
            self._ask()

    def again(self, indices):
        """Begin another epoch with the same processes; what is left of the last one is thrown away."""
        for link in self.links:
            link.active = True
            self._talk(link, link.send, worker.AGAIN)
        for link in self.links:
            while self._receive(link)[0] != worker.AGAIN:
                pass
        self.start(indices)

    def _ask(self):
        """Ask the worker whose turn it is for the next batch, if there is one."""
        active = [link for link in self.links if link.active]
        if not active:
            return
        try:
            indices = next(self.indices)
        except StopIteration:
            return
        while not self.links[self.turn % len(self.links)].active:
            self.turn += 1
        link = self.links[self.turn % len(self.links)]
        self.turn += 1
        self._talk(link, link.send, worker.BATCH, self.task, indices)
        self.waiting.append((self.task, link))
        self.task += 1

    def next(self):
        """The next batch. StopIteration at the end, the worker's exception if it failed, RuntimeError if it is gone."""
        while self.waiting:
            link = self.waiting[0][1] if self.in_order else self._whoever_is_first()
            kind, task, value = self._receive(link)
            self.waiting.remove((task, link))
            if kind == worker.END:
                link.active = False
                self._ask()
                continue
            self._ask()
            if kind == worker.FAILURE:
                value.reraise()
            return value
        raise StopIteration

    def _whoever_is_first(self) -> _Link:
        by_connection = {link.connection: link for _, link in self.waiting}
        ready = connections.wait(list(by_connection), self.timeout or None)
        if not ready:
            raise self._too_late()
        return by_connection[ready[0]]

    def _receive(self, link: _Link) -> tuple:
        if self.timeout and not self._talk(link, link.connection.poll, self.timeout):
            raise self._too_late()
        return self._talk(link, link.receive)

    def _too_late(self) -> RuntimeError:
        return RuntimeError(f"DataLoader timed out after {self.timeout} seconds")

    def _talk(self, link: _Link, function, *args):
        """Call a function that needs the worker to be alive."""
        try:
            return function(*args)
        except (EOFError, ConnectionError):
            link.process.join(PATIENCE)
            gone = [str(each.process.pid) for each in self.links if not each.process.is_alive()]
            self.stop()
            raise RuntimeError(f"DataLoader worker (pid(s) {', '.join(gone)}) exited unexpectedly") from None

    def stop(self):
        """End the processes."""
        self._finalizer()


def _stop(links: list[_Link], owner: int):
    if os.getpid() != owner:  # a forked process has inherited the iterator, not the workers
        return
    for link in links:
        with contextlib.suppress(OSError), link.connection as ours, socket.socket(fileno=os.dup(ours.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)  # younger forked processes have inherited this end, and keep it open
    for link in links:
        link.process.join(PATIENCE)
        for end in (link.process.terminate, link.process.kill):
            if link.process.is_alive():
                end()
                link.process.join(PATIENCE)
        link.process.close()
    links.clear()


def pinned(batch):
    """The batch in memory from which a device copies fast; a tensor's own `pin_memory` says what that is."""
    if isinstance(batch, Tensor):
        return batch.pin_memory()
    if hasattr(batch, "pin_memory"):
        return batch.pin_memory()
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(pinned, batch))
    if isinstance(batch, tuple | list):
        return type(batch)(map(pinned, batch))
    if isinstance(batch, dict):
        made = copy.copy(batch)  # of its own class, whatever that is made from
        made.update((k, pinned(v)) for k, v in batch.items())
        return made
    return batch
