"""spawn: a function run in several processes at once; the first failure ends the others and is raised with its text."""

import ctypes
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

from .. import clock

_PR_SET_PDEATHSIG = 1  # prctl(2): the signal for a process whose parent has died


class ProcessException(Exception):
    """A process of `spawn` failed. `error_index` says which, `error_pid` its process number."""

    def __init__(self, msg: str, error_index: int, pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """A process raised an exception; the text holds its traceback."""

    def __init__(self, msg: str, error_index: int, error_pid: int):
        super().__init__(msg, error_index, error_pid)
        self.error_pid = error_pid


class ProcessExitedException(ProcessException):
    """A process ended without a traceback: by a signal or with an exit status other than 0."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None):
        super().__init__(msg, error_index, error_pid)
        self.error_pid, self.exit_code, self.signal_name = error_pid, exit_code, signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _run(fn: Callable, i: int, args: tuple, failures: connection.Connection) -> None:
    """What a process does: fn(i, *args), or a traceback into the pipe."""
    if sys.platform == "linux":
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in what a shell script starts with `&`
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM if ignored else signal.SIGINT)
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the parent ends, by the same signal
    except Exception:
        failures.send(traceback.format_exc())
        sys.exit(1)
    finally:
        failures.close()


class ProcessContext:
    """The processes that `start_processes` started, and how to wait for them."""

    def __init__(self, processes: list, failures: list[connection.Connection]):
        self.processes, self._failures = processes, failures
        self.sentinels = {p.sentinel: i for i, p in enumerate(processes)}
        self._texts: dict[int, str] = {}

    def pids(self) -> list[int]:
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """True if all have ended well, False if some are still running after `timeout` seconds.

        If one fails the others are terminated, and killed where that does not end them within `grace_period` seconds
        (30 if None); then ProcessRaisedException or ProcessExitedException is raised.
        """
        deadline = None if timeout is None else clock.now() + timeout
        failed = None
        while self.sentinels and failed is None:
            left = None if deadline is None else max(0.0, deadline - clock.now())
            talking = [c for c in self._failures if not c.closed]
            ready = connection.wait([*self.sentinels, *talking], left)
            if not ready:
                return False
            for conn in [r for r in ready if r in talking]:
                self._read(self._failures.index(conn))
            for sentinel in [r for r in ready if r in self.sentinels]:
                index = self.sentinels.pop(sentinel)
                self.processes[index].join()
                if self.processes[index].exitcode != 0 and failed is None:
                    failed = index
        if failed is None:
            self._close()
            return True
        self._terminate(30.0 if grace_period is None else grace_period)
        self._raise(failed)

    def _read(self, index: int) -> None:
        conn = self._failures[index]
        try:
            self._texts[index] = conn.recv()
        except (EOFError, OSError):  # it ended without a word
            conn.close()

    def _terminate(self, grace: float) -> None:
        """End the processes that still run."""
        for p in self.processes:
            if p.is_alive():
                p.terminate()
        limit = clock.now() + grace
        for p in self.processes:
            p.join(max(0.0, limit - clock.now()))
            if p.is_alive():
                p.kill()
                p.join()
        self.sentinels.clear()

    def _close(self) -> None:
        for conn in self._failures:
            conn.close()

    def _raise(self, index: int) -> None:
        process, conn = self.processes[index], self._failures[index]
        while not conn.closed and conn.poll():
            self._read(index)
        self._close()
        if index in self._texts:
            text = f"\n\n-- Process {index} terminated with the following error:\n{self._texts[index]}"
            raise ProcessRaisedException(text, index, process.pid)
        code = process.exitcode
        if code >= 0:
            text = f"process {index} terminated with exit code {code}"
            raise ProcessExitedException(text, index, process.pid, code)
        known = -code in set(signal.Signals)
        name = signal.Signals(-code).name if known else f"<Unknown signal {-code}>"
        text = f"process {index} terminated with signal {name}"
        raise ProcessExitedException(text, index, process.pid, code, name)


SpawnContext = ProcessContext


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """fn(i, *args) for i in range(nprocs), each in a process of its own that `start_method` starts.

    With `join` the call returns when all have ended, and a failure is raised; else a ProcessContext is returned.
    `daemon` processes are ended with this one. They all end when the process that called this dies.
    """
    if nprocs < 1:
        raise ValueError(f"nprocs must be at least 1, got {nprocs}")
    context = multiprocessing.get_context(start_method)
    processes: list[Any] = []
    failures: list[connection.Connection] = []
    try:
        for i in range(nprocs):
            ours, theirs = context.Pipe(duplex=False)
            failures.append(ours)
            process = context.Process(target=_run, args=(fn, i, args, theirs), daemon=daemon)
            try:
                process.start()
            finally:
                theirs.close()
            processes.append(process)
    except BaseException:
        ProcessContext(processes, failures)._terminate(1.0)
        for conn in failures:
            conn.close()
        raise
    started = ProcessContext(processes, failures)
    if not join:
        return started
    try:
        while not started.join():
            pass
    except BaseException:
        started._terminate(1.0)
        started._close()
        raise
    return None


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """`start_processes` with fresh interpreters: `fn` and `args` are pickled, so `fn` must be a module's function."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
