"""For tests of anything that communicates: run a function on n ranks in one line, and fail on what is left behind.

def body(group):
    total = np.ones(3)
    group.all_reduce(total)
    return total[0]

assert run_ranks(4, body) == [4, 4, 4, 4]
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib.util
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial, update_wrapper
from typing import Any

from . import clock
from .errors import CommError, DeadlineExceeded
from .meeting import connect, inproc_groups
from .store_server import StoreClient, StoreServer

KINDS = ("threads", "processes", "tcp")
GRACE = 5.0  # seconds the other ranks get to end by themselves once one has failed
SETTLE = 3.0  # seconds that what a test used may take to disappear


class Died(CommError):
    """A rank's process ended without a result: `exitcode` is negative for a signal."""

    def __init__(self, rank: int, exitcode: int | None):
        super().__init__(rank, exitcode)
        self.rank, self.exitcode = rank, exitcode

    def __str__(self) -> str:
        how = f"exit code {self.exitcode}"
        if self.exitcode is not None and self.exitcode < 0:
            how = signal.Signals(-self.exitcode).name
        return f"the process of rank {self.rank} ended without a result ({how})"


def run_ranks(
    n: int,
    fn: Callable[..., Any],
    kind: str = "threads",
    *,
    timeout: float = 60.0,
    args: Sequence[Any] = (),
    may_die: Sequence[int] = (),
    around: Callable[..., Any] | None = None,
    **settings: Any,
) -> list[Any]:
    """Run fn(group, *args) on n ranks and return what each returned, by rank.

    kind: "threads" of this process; "processes" of this host, joined by shared memory; "tcp", processes joined by
    sockets. For processes, `fn` must be found by its module and name (a function of a test module is), and `args` and
    results must be picklable. timeout: seconds after which everything is killed and DeadlineExceeded raised, with all
    stacks as notes. may_die: ranks whose process may end without a result; theirs is then a `Died`. around: a module's
    function that each rank calls instead, as around(group, fn, *args), to prepare for `fn`. Other keyword arguments go
    to `comm.connect`.

    The error of the rank that failed first is raised here, with its rank and traceback as a note.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "threads":
        return _run_threads(n, _within(around, fn), timeout, args, settings)
    return _run_processes(n, fn, kind, timeout, args, may_die, around, settings)


def _within(around: Callable | None, fn: Callable) -> Callable:
    return fn if around is None else update_wrapper(partial(_around, around, fn), fn)  # its name, for messages


def _around(around: Callable, fn: Callable, group: Any, *args: Any) -> Any:
    return around(group, fn, *args)


def _run_threads(n: int, fn: Callable, timeout: float, args: Sequence, settings: dict) -> list[Any]:
    groups = inproc_groups(n, **settings)
    results: list[Any] = [None] * n
    failures: list[tuple[int, BaseException]] = []

    def body(rank: int) -> None:
        try:
            results[rank] = fn(groups[rank], *args)
        except BaseException as error:
            failures.append((rank, error))
            groups[rank].abort(f"{type(error).__name__}: {error}")
        else:
            groups[rank].close()  # as a process does that ends: nobody waits for this rank

    deadline = clock.Deadline(timeout, f"{getattr(fn, '__name__', fn)} on {n} threads")
    threads = [clock.spawn(partial(body, rank), f"rank{rank}") for rank in range(n)]
    for thread in threads:
        thread.join(deadline.remaining())
    late = [rank for rank, thread in enumerate(threads) if thread.is_alive()]
    stacks = [_stack(thread) for thread in threads if thread.is_alive()]
    for group in groups:
        group.close()
    for thread in threads:
        thread.join(GRACE)
    if failures and not (late and deadline.remaining() == 0 and failures[0][0] in late):
        rank, error = failures[0]
        error.add_note(f"on rank {rank} of {n} threads")
        raise error
    if late:
        raise _too_late(deadline, late, stacks)
    return results


def _stack(thread: threading.Thread) -> str:
    frame = clock.frames().get(thread.ident or 0)
    return f"{thread.name}:\n" + "".join(traceback.format_stack(frame))


def _too_late(deadline: clock.Deadline, ranks: Sequence[int], stacks: Sequence[str]) -> DeadlineExceeded:
    error = DeadlineExceeded(deadline.what, deadline.limit, tuple(f"rank {rank}" for rank in ranks))
    for stack in stacks:
        error.add_note(stack)
    return error


def _run_processes(
    n: int,
    fn: Callable,
    kind: str,
    timeout: float,
    args: Sequence,
    may_die: Sequence[int],
    around: Callable | None,
    settings: dict,
) -> list[Any]:
    import multiprocessing
    from multiprocessing.connection import wait

    if "<locals>" in fn.__qualname__ or fn.__name__ == "<lambda>":
        raise TypeError(
            f"{fn.__qualname__} cannot run in another process: define it at the top of its module, and pass values in "
            "args (a process with threads cannot be forked safely, so closures are refused)"
        )
    task = pickle.dumps((around, fn, args, settings))
    source = getattr(sys.modules[fn.__module__], "__file__", None)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["disttorch.comm.testing", "numpy"])
    deadline = clock.Deadline(timeout, f"{fn.__name__} on {n} {kind}")
    transport = "ipc" if kind == "processes" else "tcp"
    server = StoreServer()
    stacks = tempfile.TemporaryDirectory(prefix="disttorch-")
    workers, pipes = [], []
    try:
        with _hidden_main(fn):
            for rank in range(n):
                ours, theirs = context.Pipe(duplex=False)
                worker = context.Process(
                    target=_worker,
                    args=(theirs, fn.__module__, source, task, rank, n, server.port, transport, timeout, stacks.name),
                )
                worker.start()
                theirs.close()
                workers.append(worker)
                pipes.append(ours)
        results: list[Any] = [None] * n
        pending = dict(zip(pipes, range(n), strict=True))
        failures: list[tuple[float, int, BaseException]] = []  # when, rank, what
        while pending:
            ready: list[Any] = wait(list(pending), deadline.remaining())
            if not ready:
                break
            for pipe in ready:
                rank = pending.pop(pipe)
                results[rank], error, when = _read(pipe, rank, workers[rank])
                if error is not None and not (isinstance(error, Died) and rank in may_die):
                    failures.append((when, rank, error))
                    deadline.end = min(deadline.end, clock.now() + GRACE)
        if failures:
            raise min(failures)[2]
        if pending:
            late = sorted(pending.values())
            raise _too_late(deadline, late, [_ask_stack(workers[rank], rank, stacks.name) for rank in late])
        for worker in workers:
            worker.join(deadline.remaining())
        return results
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.kill()
            worker.join()
            worker.close()
        for pipe in pipes:
            pipe.close()
        server.close()
        stacks.cleanup()


def _read(pipe: Any, rank: int, worker: Any) -> tuple[Any, BaseException | None, float]:
    """A worker's result, error, and when it failed; a death comes before whatever followed from it."""
    try:
        return pickle.loads(pipe.recv_bytes())  # from our own child, through a private pipe
    except EOFError:
        worker.join()
        died = Died(rank, worker.exitcode)
        return died, died, 0.0


def _ask_stack(worker: Any, rank: int, folder: str) -> str:
    """The stacks of all threads of a worker, which writes them to a file when signalled."""
    if worker.is_alive():
        os.kill(worker.pid, signal.SIGUSR1)
        clock.sleep(0.1)
    with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, str(rank))) as file:
        return f"rank {rank}:\n{file.read()}"
    return f"rank {rank}: no stack"


@contextlib.contextmanager
def _hidden_main(fn: Callable) -> Iterator[None]:
    """Keep the workers from importing the parent's main program (a test runner), unless `fn` stands there."""
    main = sys.modules["__main__"]
    if fn.__module__ == "__main__":
        yield
        return
    kept = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    main.__file__ = main.__spec__ = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


def _load(name: str, source: str | None) -> None:
    """Import module `name`; from its file, if it was not imported by its name (a test runner's modules are not)."""
    if name in sys.modules or name == "__main__":
        return
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        if source is None:
            raise
        spec = importlib.util.spec_from_file_location(name, source)
        assert spec is not None and spec.loader is not None  # noqa: PT018  it is a Python file
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        while "." in name:  # unpickling a function asks for the packages around its module
            name = name.rpartition(".")[0]
            sys.modules.setdefault(name, types.ModuleType(name))


def _worker(pipe, module, source, task, rank, n, port, transport, timeout, stacks) -> None:
    """What a worker process does."""
    faulthandler.register(signal.SIGUSR1, open(os.path.join(stacks, str(rank)), "w"))  # noqa: SIM115  until the end
    outcome: tuple[Any, BaseException | None, float]
    try:
        _load(module, source)
        around, fn, args, settings = pickle.loads(task)  # from our own parent
        store = StoreClient("127.0.0.1", port, timeout)
        group = connect(store, rank, n, transport=transport, timeout=settings.pop("timeout", timeout), **settings)
        outcome = (_within(around, fn)(group, *args), None, 0.0)
        group.close()
        store.close()
    except BaseException as error:
        when = clock.now()
        where = "".join(traceback.format_exception(error))
        outcome = (None, _portable(error, f"on rank {rank} of {n} processes:\n{where}"), when)
        if "group" in locals():
            group.abort(f"{type(error).__name__}: {error}")
            group.close()
    pipe.send_bytes(pickle.dumps(outcome))
    pipe.close()


def _portable(error: BaseException, note: str) -> BaseException:
    """The error, or a CommError with its text if it cannot be pickled, with a note."""
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = CommError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error


@contextlib.contextmanager
def check_leaks() -> Iterator[None]:
    """Fail if the block leaves threads, child processes, ZeroMQ contexts, shared memory or socket files behind."""
    before = _inventory()
    yield
    deadline = clock.Deadline(SETTLE, "cleaning up")
    while left := {name: found for name, found in _inventory().items() if name not in before}:
        if deadline.remaining() == 0:
            raise AssertionError("left behind: " + "; ".join(sorted(left.values())))
        gc.collect()  # costs more than most tests, so only where something is left
        clock.sleep(0.02)


def _inventory() -> dict[Any, str]:
    """Everything of this process that a test could leave behind: a key that identifies it, and its description."""
    found: dict[Any, str] = {}
    collector = sys.modules.get("zmq.utils.garbage")
    for thread in threading.enumerate():
        if collector is None or not isinstance(thread, collector.GarbageCollectorThread):
            found["thread", thread.ident] = f"thread {thread.name}"
    found.update(_children())
    found.update(_native_threads(collector))
    with contextlib.suppress(FileNotFoundError):
        with open("/proc/self/maps") as file:
            mapped = [line.split()[0] for line in file if "memfd:disttorch" in line]
        found.update({("memory", place): f"shared memory mapped at {place}" for place in mapped})
        for name in os.listdir("/dev/shm"):
            if os.stat(f"/dev/shm/{name}").st_uid == os.getuid() and "disttorch" in name:
                found["file", name] = f"/dev/shm/{name}"
    return found


def _children() -> dict[Any, str]:
    from multiprocessing import forkserver, resource_tracker

    ours = {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}  # type: ignore[attr-defined]
    found = {}
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children") as file:
            for pid in map(int, file.read().split()):
                if pid not in ours:
                    found["process", pid] = f"child process {pid}"
    return found


def _native_threads(collector: Any) -> dict[Any, str]:
    """ZeroMQ's threads: each context has some. pyzmq keeps one context of its own for zero-copy sends."""
    spared = 2 if collector is not None and collector.gc._context is not None else 0
    found: dict[Any, str] = {}
    for task in sorted(os.listdir("/proc/self/task"), key=int):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/self/task/{task}/comm") as file:
            name = file.read().strip()
            if name.startswith("ZMQbg"):
                found["zmq", len(found)] = f"ZeroMQ context (thread {name})"
    return dict(list(found.items())[spared:])
