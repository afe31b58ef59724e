"""What tests written for torch.distributed take from torch.testing._internal.common_distributed: test cases whose
methods run on several ranks, and decorators that skip them.

A test case's `setUp` starts the ranks, each of which calls the test's method with `self.rank`; the method that the test
runner calls waits for them. A rank that skips ends with an exit code of TEST_SKIPS, one that fails sends its traceback.
"""

import contextlib
import functools
import os
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Callable, Iterable
from typing import Any

from ... import distributed as dist
from ... import multiprocessing
from ...devices import device_count
from .common_utils import FILE_SCHEMA
from .continuous import MultiProcContinuousTest
from .ranked import (
    DEFAULT_WORLD_SIZE,
    SKIPPED,
    TEST_SKIPS,
    TIMEOUT_DEFAULT,
    TIMEOUT_OVERRIDE,
    RankedTestCase,
    TestSkip,
    get_timeout,
)

__all__ = [
    "TEST_SKIPS",
    "TIMEOUT_DEFAULT",
    "TIMEOUT_OVERRIDE",
    "DistributedTestBase",
    "MultiProcContinuousTest",
    "MultiProcessTestCase",
    "MultiThreadedTestCase",
    "TestSkip",
    "requires_gloo",
    "skip_if_lt_x_gpu",
]


# ---- decorators


def _skipping(name_of: Callable[[], str | None]) -> Callable:
    """A decorator that ends the test with the TEST_SKIPS of that name; of None it runs."""

    def decorated(test: Callable) -> Callable:
        @functools.wraps(test)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            name = name_of()
            if name is None:
                return test(*args, **kwargs)
            if args and getattr(args[0], "rank", -1) >= 0 and isinstance(args[0], MultiProcessTestCase):
                sys.exit(TEST_SKIPS[name].exit_code)
            raise unittest.SkipTest(TEST_SKIPS[name].message)

        return wrapper

    return decorated


def _world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", DEFAULT_WORLD_SIZE))


def skip_if_lt_x_gpu(x: int, *, allow_cpu: bool = False) -> Callable:
    """Skip with fewer than x CUDA devices (allow_cpu: but not with none)."""
    return _skipping(lambda: None if device_count() >= x or (allow_cpu and not device_count()) else f"multi-gpu-{x}")


def nccl_skip_if_lt_x_gpu(backend: str, x: int) -> Callable:
    """With "nccl", skip with fewer than x CUDA devices."""
    return _skipping(lambda: None if backend != "nccl" or device_count() >= x else f"multi-gpu-{x}")


def require_n_gpus_for_nccl_backend(n: int, backend: str) -> Callable:
    return nccl_skip_if_lt_x_gpu(backend, n)


def at_least_x_gpu(x: int) -> bool:
    return device_count() >= x


skip_if_no_gpu = _skipping(
    lambda: None if device_count() >= _world_size() else f"multi-gpu-{_world_size()}" if device_count() else "no_cuda"
)
skip_if_small_worldsize = _skipping(lambda: "small_worldsize" if _world_size() < 8 else None)
skip_if_odd_worldsize = _skipping(lambda: "odd_worldsize" if _world_size() % 2 else None)


def _requires(available: Callable[[], bool], backend: str) -> Callable[[], Callable]:
    return lambda: unittest.skipUnless(available(), f"c10d was not compiled with the {backend} backend")


requires_gloo = _requires(dist.is_gloo_available, "Gloo")
requires_nccl = _requires(dist.is_nccl_available, "NCCL")
requires_mpi = _requires(dist.is_mpi_available, "MPI")
requires_ucc = _requires(dist.is_ucc_available, "UCC")


def requires_nccl_version(version: tuple, msg: str) -> Callable:
    return requires_nccl()


def requires_accelerator_dist_backend(backends: Iterable[str] | None = None) -> Callable:
    return requires_nccl()


def skip_if_rocm_multiprocess(test: Callable) -> Callable:
    return test


def skip_if_win32() -> Callable:
    return unittest.skipIf(sys.platform == "win32", "not on Windows")


def with_dist_debug_levels(levels: Iterable[str]) -> Callable:
    """Run the test once with each TORCH_DISTRIBUTED_DEBUG, a barrier of the ranks between."""

    def decorated(test: Callable) -> Callable:
        @functools.wraps(test)
        def wrapper(*args: Any, **kwargs: Any) -> None:
            before = os.environ.get("TORCH_DISTRIBUTED_DEBUG")
            for level in levels:
                os.environ["TORCH_DISTRIBUTED_DEBUG"] = level
                dist.set_debug_level_from_env()
                test(*args, **kwargs)
                if dist.is_initialized():
                    dist.barrier()
            os.environ.pop("TORCH_DISTRIBUTED_DEBUG")
            if before is not None:
                os.environ["TORCH_DISTRIBUTED_DEBUG"] = before

        return wrapper

    return decorated


def create_device(interface: str | None = None, lazy_init: bool = False) -> Any:
    """Gloo's device."""
    return dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")


_directory: tempfile.TemporaryDirectory | None = None


def initialize_temp_directories(init_method: str | None = None) -> None:
    """A new directory in $TEMP_DIR with barrier/, test_dir/ and init_dir/; $INIT_METHOD unless told is a file in it."""
    global _directory
    _directory = tempfile.TemporaryDirectory()
    os.environ["TEMP_DIR"] = _directory.name
    for name in ("barrier", "test_dir", "init_dir"):
        os.mkdir(os.path.join(_directory.name, name))
    os.environ["INIT_METHOD"] = init_method or f"{FILE_SCHEMA}{_directory.name}/init_dir/shared_init_file"


def cleanup_temp_dir() -> None:
    """Remove that directory."""
    if _directory is not None:
        _directory.cleanup()


def init_multigpu_helper(world_size: int, backend: str) -> dict[int, list[int]]:
    """Rank -> the CUDA devices that are its own."""
    each = max(device_count() // world_size, 1) if device_count() else 0
    return {rank: list(range(rank * each, (rank + 1) * each)) for rank in range(world_size)}


# ---- test cases


class MultiProcessTestCase(RankedTestCase):
    """Every rank is a process. A subclass's `setUp` ends in `self._spawn_processes()`; methods initialise their group,
    for instance over `self.file_name`, which is the same for all.
    """

    TEST_ERROR_EXIT_CODE = 10

    @property
    def destroy_pg_upon_exit(self) -> bool:
        """Whether a rank destroys its group at the end."""
        return True

    @property
    def is_master(self) -> bool:
        return self.rank == 0

    def setUp(self) -> None:
        super().setUp()
        self.processes: list[Any] = []
        self._pipes: list[Any] = []  # from each
        self.skip_return_code_checks: list[Callable] = []  # methods whose ranks may end in any way
        self.special_return_code_checks: dict[Callable, int] = {}  # methods whose ranks end otherwise than with 0
        handle, self.file_name = tempfile.mkstemp()
        os.close(handle)

    def tearDown(self) -> None:
        super().tearDown()
        for process in self.processes:
            process.kill()
            process.join()
        for pipe in self._pipes:
            pipe.close()
        self.processes, self._pipes = [], []
        with contextlib.suppress(OSError):
            os.remove(self.file_name)

    def _spawn_processes(self) -> None:
        self._start_processes(multiprocessing.get_context("spawn").Process)

    def _start_processes(self, proc: Callable) -> None:
        for rank in range(self.world_size):
            ours, theirs = multiprocessing.Pipe(duplex=False)
            process = proc(
                target=self.__class__._run,
                name=f"process {rank}",
                args=(rank, self._current_test_name(), self.file_name, theirs),
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self.processes.append(process)

    @classmethod
    def _run(cls, rank: int, test_name: str, file_name: str, parent_pipe: Any, **kwargs: Any) -> None:
        self = cls(test_name)
        self.rank, self.file_name = rank, file_name
        self.run_test(test_name, parent_pipe)

    def run_test(self, test_name: str, parent_pipe: Any) -> None:
        """The test on this rank."""
        try:
            getattr(self, test_name)()
        except unittest.SkipTest as skip:
            parent_pipe.send(str(skip))
            sys.exit(TEST_SKIPS["generic"].exit_code)
        except Exception:
            parent_pipe.send(traceback.format_exc())
            sys.exit(self.TEST_ERROR_EXIT_CODE)
        finally:
            parent_pipe.close()
        if self.destroy_pg_upon_exit and dist.is_initialized():
            dist.destroy_process_group()

    def _join(self, fn: Callable) -> None:
        limit = get_timeout(self.id())
        end = time.monotonic() + limit
        sent: list[str | None] = [None] * len(self._pipes)
        while True:
            alive = [p.is_alive() for p in self.processes]
            codes = [p.exitcode for p in self.processes]
            # Read while they run, too: a rank does not end before a long traceback has been taken from it.
            sent = [text or _received(pipe) for text, pipe in zip(sent, self._pipes, strict=True)]
            if not any(alive) or self.TEST_ERROR_EXIT_CODE in codes or time.monotonic() > end:
                break
            time.sleep(0.02)
        late = [rank for rank, lives in enumerate(alive) if lives]
        failed = [rank for rank, code in enumerate(codes) if code == self.TEST_ERROR_EXIT_CODE]
        if failed:
            head = "Process {} exited with error code {} and exception:\n{}"
            raise RuntimeError("\n".join(head.format(rank, codes[rank], sent[rank]) for rank in failed))
        if late:
            raise RuntimeError(f"Processes {late} did not finish within {limit} seconds")
        if fn in self.skip_return_code_checks:
            return
        for rank, code in enumerate(codes):
            if code in SKIPPED:
                raise unittest.SkipTest(sent[rank] or SKIPPED[code])
        wanted = self.special_return_code_checks.get(fn, 0)
        text = f"Expected {'zero exit codes' if wanted == 0 else f'exit codes {wanted}'} but got {codes}"
        self.assertEqual(codes, [wanted] * len(codes), msg=text)


def _received(pipe: Any) -> str | None:
    """What a rank has sent, if anything."""
    try:
        return pipe.recv() if pipe.poll() else None
    except (EOFError, OSError):  # it has ended
        return None


class DistributedTestBase(MultiProcessTestCase):
    """A MultiProcessTestCase that starts its ranks by itself, with a group at hand."""

    def setUp(self) -> None:
        super().setUp()
        os.environ["WORLD_SIZE"] = str(self.world_size)
        self._spawn_processes()

    def backend(self, device: Any) -> str:
        return "nccl" if "cuda" in str(device) else "gloo"

    def create_pg(self, device: Any, world_size: int | None = None) -> Any:
        """The default group, initialised."""
        count = self.world_size if world_size is None else world_size
        dist.init_process_group(
            self.backend(device), f"{FILE_SCHEMA}{self.file_name}", world_size=count, rank=self.rank
        )
        return dist.group.WORLD

    def rank_to_device(self, device: Any) -> dict[int, list[int]]:
        return {rank: [rank % max(device_count(), 1)] for rank in range(self.world_size)}


class MultiThreadedTestCase(RankedTestCase):
    """Every rank is a thread, with its group at hand. A subclass's `setUp` ends in `self._spawn_threads()`."""

    def perThreadSetUp(self) -> None:
        """Called in each thread before the test."""

    def perThreadTearDown(self) -> None:
        """Called in each thread after the test."""

    def _spawn_threads(self) -> None:
        """Have the threads started, when the test runner calls the method."""

    def _join(self, fn: Callable) -> None:
        dist.run_ranks(self.world_size, self._run, timeout=get_timeout(self.id()))

    def _run(self, rank: int) -> None:
        each = self.__class__(self._testMethodName)
        each.rank = rank
        each.perThreadSetUp()
        try:
            getattr(each, self._testMethodName)()
        finally:
            each.perThreadTearDown()

    def assertEqualOnRank(self, x: Any, y: Any, msg: Any = None, *, rank: int = 0) -> None:
        if self.rank == rank:
            self.assertEqual(x, y, msg)
