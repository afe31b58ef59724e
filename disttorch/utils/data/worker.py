"""The worker process of a DataLoader: it makes the batches that it is told to."""

import os
import random
import select
import threading
import traceback
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from multiprocessing import reduction
from typing import NamedTuple

import numpy as np

from ... import random as random_state
from ...kernels import set_num_threads
from . import collate
from .blocks import Lender
from .fetch import fetcher

LOOK = 1.0  # seconds between looks at the parent where the system cannot tell of its end


class WorkerInfo:
    """Which worker this is: id, num_workers, seed (its own random seed), dataset (its own copy)."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def __setattr__(self, name, value):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __repr__(self):
        return f"WorkerInfo({', '.join(f'{k}={v}' for k, v in vars(self).items())})"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process of a DataLoader which one it is, elsewhere None."""
    return _info


class Job(NamedTuple):
    """What a worker is started with."""

    dataset: object
    auto_collation: bool
    collate_fn: Callable
    drop_last: bool
    base_seed: int
    id: int
    num_workers: int
    init_fn: Callable | None


class Failure:
    """An exception on its way from a worker to the main process."""

    def __init__(self, error: BaseException, where: str):
        self.kind, self.name = _picklable(type(error)), type(error).__name__
        self.where, self.trace = where, "".join(traceback.format_exception(error))

    def reraise(self):
        """Raise an exception of the same kind, whose text holds the original traceback."""
        message = f"Caught {self.name} {self.where}.\nOriginal {self.trace}"
        if issubclass(self.kind, KeyError):
            raise self.kind(_Text(message))
        try:
            error = self.kind(message)
        except Exception:  # a kind that is not made of one text
            raise RuntimeError(message) from None
        raise error


def _picklable(kind: type) -> type:
    """The kind of exception, or RuntimeError if the main process could not know it."""
    try:
        reduction.ForkingPickler.dumps(kind)
    except Exception:
        return RuntimeError
    return kind


class _Text(str):
    """A message that KeyError prints with its line breaks."""

    def __repr__(self):
        return str(self)


# Messages to the worker: ("batch", task, indices, returned blocks), ("again", returned blocks).
# Messages to the main process: (kind, task, sizes of new blocks), these blocks' files, the pickled payload; the kinds:
BATCH, FAILURE, END, AGAIN = "batch", "failure", "end", "again"


def run(job: Job, connection, others, parent: int) -> None:
    """A worker's life: batches in the order in which they are asked for, until the main process says or is gone.

    others: the main process's ends of connections, which a forked worker has inherited.
    """
    for inherited in others:
        inherited.close()
    threading.Thread(target=_end_with, args=(parent,), name="parent watch", daemon=True).start()
    lender = Lender()
    try:
        _serve(job, connection, lender)
    except (EOFError, ConnectionError, KeyboardInterrupt):
        pass  # the main process has left (or will: it got the same Ctrl-C)
    finally:
        connection.close()


def _serve(job: Job, connection, lender: Lender):
    fetch = failure = None
    try:
        _set_up(job, lender)
        fetch = _make_fetcher(job)
    except Exception as e:
        failure = Failure(e, f"in DataLoader worker process {job.id}")
    ended = False
    while True:
        message = connection.recv()
        lender.given_back(message[-1])
        kind = message[0]
        if kind == AGAIN:
            ended = False
            if failure is None:
                try:
                    fetch = _make_fetcher(job)
                except Exception as e:
                    failure = Failure(e, f"in DataLoader worker process {job.id}")
            _send(connection, lender, AGAIN, None, None)
        elif ended:
            _send(connection, lender, END, message[1], None)
        elif failure is not None:
            _send(connection, lender, FAILURE, message[1], failure)
            failure = None
        else:
            _, task, indices, _ = message
            ended = _answer(job, connection, lender, fetch, task, indices)
            del message


def _answer(job: Job, connection, lender: Lender, fetch, task: int, indices) -> bool:
    """Make a batch and send it, or what stood against it; -> whether the dataset has come to its end."""
    try:
        batch = fetch(indices)
        payload = lender.pickled(batch)
    except StopIteration as e:
        if not _is_iterable(job):
            _send(connection, lender, FAILURE, task, Failure(e, f"in DataLoader worker process {job.id}"))
            return False
        _send(connection, lender, END, task, None)
        return True
    except Exception as e:
        _send(connection, lender, FAILURE, task, Failure(e, f"in DataLoader worker process {job.id}"))
        return False
    _send_bytes(connection, lender, BATCH, task, payload)
    return False


def _is_iterable(job: Job) -> bool:
    from .dataset import IterableDataset

    return isinstance(job.dataset, IterableDataset)


def _send(connection, lender, kind, task, value):
    _send_bytes(connection, lender, kind, task, reduction.ForkingPickler.dumps(value))


def _send_bytes(connection, lender: Lender, kind: str, task, payload):
    new, lender.unsent = lender.unsent, []
    connection.send((kind, task, [block.size for block in new]))
    for block in new:
        reduction.send_handle(connection, block.fd, None)
        os.close(block.fd)  # the mapping holds the memory
    connection.send_bytes(payload)


def _set_up(job: Job, lender: Lender):
    """Seeds that differ from worker to worker and epoch to epoch, one thread, memory that the main process shares."""
    global _info
    set_num_threads(1)
    seed = job.base_seed + job.id
    random.seed(seed)
    random_state.manual_seed(seed)
    words = [job.id, job.base_seed & 0xFFFFFFFF, job.base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(words).generate_state(4))
    collate.make_batch_memory = lender.memory
    _info = WorkerInfo(id=job.id, num_workers=job.num_workers, seed=seed, dataset=job.dataset)
    if job.init_fn is not None:
        job.init_fn(job.id)


def _make_fetcher(job: Job):
    return fetcher(job.dataset, job.auto_collation, job.collate_fn, job.drop_last)


def _end_with(parent: int):
    """End this process when its parent has ended, however busy it is."""
    try:
        descriptor = os.pidfd_open(parent)
    except (AttributeError, OSError):  # not on this system, or the parent has ended already
        while os.getppid() == parent:
            threading.Event().wait(LOOK)
        os._exit(1)
    if os.getppid() == parent:
        watch = select.poll()
        watch.register(descriptor, select.POLLIN)
        watch.poll()
    os._exit(1)
