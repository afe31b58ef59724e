"""Test cases whose ranks live as long as the class."""

import contextlib
import os
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any, ClassVar

from ... import distributed as dist
from ... import multiprocessing
from ...devices import device_count
from .common_utils import set_rng_seed
from .ranked import SKIPPED, RankedTestCase, get_timeout


class MultiProcContinuousTest(RankedTestCase):
    """Every rank is a process that lives as long as the class: it initialises `self.pg`, the default group, and runs
    the tests one after another. Once a test has failed, the ranks are ended and the class's other tests are skipped.
    """

    world_size: int = -2  # type: ignore[assignment]  # not told: a rank for each device
    rdvz_file: str | None = None
    timeout = timedelta(seconds=120)
    poison_pill = False  # whether a test has failed
    pg: Any = None
    processes: ClassVar[list[Any]] = []
    _pipes: ClassVar[list[Any]] = []  # to each, both ways

    @classmethod
    def backend_str(cls) -> str | None:
        """The group's backend."""
        return None

    @classmethod
    def device_type(cls) -> str:
        return "cuda" if device_count() else "cpu"

    @classmethod
    def opts(cls) -> Any:
        """The group's options."""
        return None

    @classmethod
    def _init_pg(cls, rank: int, world_size: int, rdvz_file: str) -> None:
        os.environ["LOCAL_RANK"] = str(rank)
        store = dist.FileStore(rdvz_file, world_size)
        dist.init_process_group(
            cls.backend_str(),
            world_size=world_size,
            rank=rank,
            store=store,
            pg_options=cls.opts(),
            timeout=cls.timeout,
        )
        cls.pg = dist.group.WORLD

    @classmethod
    def _spawn_processes(cls, world_size: int) -> None:
        handle, cls.rdvz_file = tempfile.mkstemp()
        os.close(handle)
        cls.processes, cls._pipes = [], []
        context = multiprocessing.get_context("spawn")
        for rank in range(world_size):
            ours, theirs = context.Pipe()
            args = (rank, world_size, cls.rdvz_file, theirs)
            process = context.Process(target=cls._run, name=f"process {rank}", args=args, daemon=True)
            process.start()
            theirs.close()
            cls.processes.append(process)
            cls._pipes.append(ours)

    @classmethod
    def _run(cls, rank: int, world_size: int, rdvz_file: str, pipe: Any) -> None:
        """A rank: takes names of tests, answers each with what became of it; None or a runner that is gone ends it."""
        cls.rank, cls.world_size = rank, world_size
        try:
            cls._init_pg(rank, world_size, rdvz_file)
            pipe.send(("ready", ""))
            while (name := pipe.recv()) is not None:
                pipe.send(cls._outcome(rank, name))
        except EOFError:
            return
        except Exception:
            pipe.send(("failed", traceback.format_exc()))
            sys.exit(1)
        dist.destroy_process_group()

    @classmethod
    def _outcome(cls, rank: int, name: str) -> tuple[str, str]:
        each = cls(name)
        each.rank = rank
        set_rng_seed()
        try:
            getattr(each, name)()
        except unittest.SkipTest as skip:
            return "skipped", str(skip)
        except BaseException as error:
            if isinstance(error, SystemExit) and error.code in SKIPPED:
                return "skipped", SKIPPED[error.code]
            return "failed", traceback.format_exc()
        return "passed", ""

    def setUp(self) -> None:
        super().setUp()
        cls = self.__class__
        if cls.poison_pill:
            raise unittest.SkipTest(f"Previous test failed, skipping {self.id()}")
        if not cls._pipes:
            if isinstance(cls.world_size, property):
                cls.world_size = self.world_size
            if cls.world_size == -2:
                cls.world_size = device_count() if cls.device_type() == "cuda" else (os.cpu_count() or 1)
            cls._spawn_processes(cls.world_size)
            self._answers()
        for pipe in cls._pipes:
            pipe.send(self._testMethodName)

    def _join(self, fn: Callable) -> None:
        skipped = [text for outcome, text in self._answers() if outcome == "skipped"]
        if skipped:
            raise unittest.SkipTest(skipped[0])

    def _answers(self) -> list[tuple[str, str]]:
        """One answer of every rank. RuntimeError if one has failed, ended or not answered in time."""
        end = time.monotonic() + get_timeout(self.id())
        answers: dict[Any, tuple[str, str]] = {}
        while len(answers) < len(self._pipes):
            ready: list[Any] = wait([pipe for pipe in self._pipes if pipe not in answers], end - time.monotonic())
            for pipe in ready:
                try:
                    answers[pipe] = pipe.recv()
                except (EOFError, OSError):
                    answers[pipe] = "failed", f"Process {self._pipes.index(pipe)} ended without an answer"
            failed = [text for outcome, text in answers.values() if outcome == "failed"]
            if failed or not ready:
                self.__class__.poison_pill = True
                self._end_processes(0)
                raise RuntimeError(f"Exception in worker process:\n{failed[0]}" if failed else "Ranks did not answer")
        return [answers[pipe] for pipe in self._pipes]

    @classmethod
    def _end_processes(cls, seconds: float) -> None:
        end = time.monotonic() + seconds
        for process in cls.processes:
            process.join(max(end - time.monotonic(), 0))
            process.kill()
            process.join()
        for pipe in cls._pipes:
            pipe.close()
        cls.processes, cls._pipes = [], []

    @classmethod
    def tearDownClass(cls) -> None:
        for pipe in cls._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        cls._end_processes(30)
        if cls.rdvz_file is not None:
            with contextlib.suppress(OSError):
                os.remove(cls.rdvz_file)
        super().tearDownClass()
