"""A function's calls in the workers of a job: how it gets there, and what it returned back."""

import os
import pickle
from collections.abc import Callable
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from ...launcher.bootstrap import record
from ...launcher.config import LaunchConfig
from ...launcher.rendezvous import Rendezvous
from ...launcher.worker import worker_environment
from ...multiprocessing import ProcessException, start_processes
from ..elastic.multiprocessing import ProcessFailure

CALL = "call.pickle"


def write_call(folder: Path, fn: Callable, args: list[Any]) -> None:
    """Leave the call in the job's own folder, for `run_call`, with what multiprocessing tells a new process."""
    told = spawn.get_preparation_data("worker")
    del told["authkey"]  # of multiprocessing's own processes
    with open(folder / CALL, "wb") as file:
        pickle.dump(told, file)
        pickle.dump((fn, args), file)


def run_call(folder: Path) -> None:
    """In a worker: make the call that `write_call` left."""
    with open(folder / CALL, "rb") as file:
        spawn.prepare(pickle.load(file))
        fn, args = pickle.load(file)
    write_result(folder, fn(*args))


def write_result(folder: Path, value: Any) -> None:
    """In a worker: leave what the call returned, whole or not at all."""
    path = folder / f"{os.environ['RANK']}.result"
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(value))
    part.replace(path)


def read_results(folder: Path) -> dict[int, Any]:
    """What the calls of this node's workers returned, by global rank."""
    return {int(path.stem): pickle.loads(path.read_bytes()) for path in sorted(folder.glob("*.result"))}


def run_forked(job: LaunchConfig, fn: Callable, args: list[Any], folder: Path) -> dict[int, ProcessFailure]:
    """Make the call in processes forked from this one; the failure that ended the last attempt, by global rank."""
    if job.nnodes > 1:
        raise ValueError(f"start_method 'fork' is for one node, got {job.nnodes}: use 'spawn'")
    meeting = Rendezvous(job, interrupted=lambda: False)
    failures: dict[int, ProcessFailure] = {}
    try:
        meeting.open()
        for attempt in range(job.max_restarts + 1):
            place = meeting.join(attempt)
            errors = [str(folder / f"{attempt}.{rank}.json") for rank in range(job.nproc_per_node)]
            environments = [
                worker_environment(job, place, rank, error, meeting.secret, os.environ)
                for rank, error in enumerate(errors)
            ]
            try:
                start_processes(_forked, (environments, folder, fn, args), job.nproc_per_node, start_method="fork")
                return {}
            except ProcessException as error:
                index = error.error_index
                code = getattr(error, "exit_code", 1)
                failures = {index: ProcessFailure(index, error.pid, code, errors[index])}
    finally:
        meeting.close()
    return failures


def _forked(local_rank: int, environments: list[dict[str, str]], folder: Path, fn: Callable, args: list[Any]) -> None:
    os.environ.update(environments[local_rank])
    try:
        value = fn(*args)
    except Exception as error:
        record(error)
        raise
    write_result(folder, value)
