"""torch.distributed.launcher.api: elastic_launch runs a function, a script or a program in the workers of a job."""

import contextlib
import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...launcher.config import JOIN_TIMEOUT, parse_endpoint
from ...launcher.config import LaunchConfig as Job
from ...launcher.errors import UsageError
from ...launcher.failure import Failure
from ...launcher.reaper import Reaper
from ...launcher.target import aliased
from ..elastic.multiprocessing import ChildFailedError, DefaultLogsSpecs, ProcessFailure, SignalException, Std, to_map
from .calls import read_results, run_forked, write_call

_log = logging.getLogger(__name__)


@dataclass
class LaunchConfig:
    """A job, as this node sees it. The number of nodes does not change: `min_nodes` must be `max_nodes`.

    rdzv_backend: "static" (`rdzv_configs["rank"]` numbers this node, default 0) or "c10d" (by order of arrival), both
    with `rdzv_endpoint`, "HOST:PORT" of node 0. One node needs none, whatever the backend is called.
    rdzv_configs: "rank", and "join_timeout", the seconds that nodes may start apart; other keys have no effect.
    start_method: of a function's workers. "spawn" pickles the function; "fork", for one node, takes those of a
    notebook. run_id: a random one if empty. max_restarts: how often all workers start again after a failure.
    monitor_interval: seconds between two looks at the other nodes. shutdown_timeout: seconds between asking a worker
    to end and killing it (default: TORCH_ELASTIC_SHUTDOWN_TIMEOUT, or 30). The lines that workers print bear their
    ranks: `log_line_prefix_template` has no effect, and no more have `rdzv_timeout` and `metrics_cfg`.
    """

    min_nodes: int
    max_nodes: int
    nproc_per_node: int
    logs_specs: DefaultLogsSpecs | None = None
    run_id: str = ""
    role: str = "default_role"
    rdzv_endpoint: str = ""
    rdzv_backend: str = "etcd"
    rdzv_configs: dict[str, Any] = field(default_factory=dict)
    rdzv_timeout: int = -1
    max_restarts: int = 3
    monitor_interval: float = 0.1
    start_method: str = "spawn"
    log_line_prefix_template: str | None = None
    metrics_cfg: dict[str, str] = field(default_factory=dict)
    local_addr: str | None = None
    shutdown_timeout: int | None = None

    def __post_init__(self) -> None:
        self.rdzv_configs.setdefault("timeout", 900 if self.rdzv_timeout == -1 else self.rdzv_timeout)
        self.logs_specs = self.logs_specs or DefaultLogsSpecs()
        if self.shutdown_timeout is None:
            self.shutdown_timeout = int(os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "30"))
        elif self.shutdown_timeout < 0:
            raise ValueError(f"shutdown_timeout must be non-negative, got {self.shutdown_timeout}")


class elastic_launch:
    """elastic_launch(config, entrypoint)(*args) runs `entrypoint` with `args` in every worker of a job.

    entrypoint: a function, or a program's name (`sys.executable` with a script among the arguments).

    Returns what the function returned, by the global ranks of this node's workers. Raises ChildFailedError where
    workers failed for the last time, SignalException where a signal ended this process's job, ValueError for what
    cannot be launched. To be called from the main thread, as signals are handled meanwhile.
    """

    def __init__(self, config: LaunchConfig, entrypoint: Callable | str | None):
        self._config, self._entrypoint = config, entrypoint

    def __call__(self, *args: Any) -> dict[int, Any]:
        return launch_agent(self._config, self._entrypoint, list(args))


def launch_agent(config: LaunchConfig, entrypoint: Callable | str | None, args: list[Any]) -> dict[int, Any]:
    """elastic_launch(config, entrypoint)(*args)."""
    if not config.run_id:
        config.run_id = str(uuid.uuid4().int)
        _log.warning("config has no run_id, generated a random run_id: %s", config.run_id)
    name = _get_entrypoint_name(entrypoint, args)
    if not callable(entrypoint):
        _run(_job(config, **_command(entrypoint, args)), name)
        return {}
    with _scratch() as folder:
        job = _job(config, target=f"{__package__}.worker", args=(str(folder),), kind="module")
        if config.start_method == "fork":
            failures = run_forked(job, entrypoint, args, folder)
            if failures:
                raise ChildFailedError(name, failures)
        else:
            write_call(folder, entrypoint, args)
            _run(job, name)
        return read_results(folder)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, even if this process is killed."""
    with tempfile.TemporaryDirectory(prefix="disttorch-") as folder:
        reaper = Reaper()
        try:
            reaper.watch_path(Path(folder))
            yield Path(folder)
        finally:
            reaper.release()


def _run(job: Job, name: str) -> None:
    """Run a job to its end. Raises SignalException, ChildFailedError."""
    from ...launcher.agent import run_job

    end = run_job(job)
    if end.failures:
        raise ChildFailedError(name, {failure.rank: _told(failure) for failure in end.failures})
    if end.signal:
        raise SignalException(f"Process {os.getpid()} got signal: {end.signal}", end.signal)


def _told(failure: Failure) -> ProcessFailure:
    """A worker's failure in PyTorch's form. Its error file may be gone with the job."""
    told = ProcessFailure(failure.local_rank, failure.pid, failure.exit_code, error_file="")
    told.timestamp = int(failure.time)
    if raised := failure.raised:
        extra = {"py_callstack": raised.traceback, "timestamp": str(int(raised.timestamp))}
        told.take({"message": {"message": f"{raised.type}: {raised.message}", "extraInfo": extra}})
    return told


def _job(config: LaunchConfig, target: str, args: tuple[str, ...], kind: str) -> Job:
    """The launcher's own description of the job. Raises UsageError."""
    if config.min_nodes != config.max_nodes:
        nodes = f"{config.min_nodes}:{config.max_nodes}"
        raise UsageError(f"a changing number of nodes ({nodes}) is not supported: min_nodes must be max_nodes")
    logs = config.logs_specs
    return Job(
        target=target,
        args=args,
        kind=kind,
        as_torch=aliased(),
        nproc_per_node=config.nproc_per_node,
        nnodes=config.max_nodes,
        run_id=config.run_id,
        role=config.role,
        max_restarts=config.max_restarts,
        monitor_interval=config.monitor_interval,
        shutdown_timeout=config.shutdown_timeout,
        local_addr=config.local_addr,
        log_dir=logs.root_log_dir,
        redirects=_streams(logs.redirects, config.nproc_per_node),
        tee=_streams(logs.tee, config.nproc_per_node),
        shown=None if logs.local_ranks_filter is None else frozenset(logs.local_ranks_filter),
        **_meeting(config),
    )


def _streams(chosen: Std | Mapping[int, Std], nproc: int) -> dict[int, Std]:
    return {rank: std for rank, std in to_map(chosen, nproc).items() if std}


def _meeting(config: LaunchConfig) -> Mapping[str, Any]:
    """Where the nodes meet."""
    wait = float(config.rdzv_configs.get("join_timeout", JOIN_TIMEOUT))
    if config.rdzv_backend not in ("static", "c10d"):
        if config.max_nodes > 1:
            raise UsageError(f"rdzv_backend must be 'static' or 'c10d' for several nodes, got {config.rdzv_backend!r}")
        return {}
    if not config.rdzv_endpoint:
        if config.max_nodes > 1:
            raise UsageError("rdzv_endpoint must be HOST:PORT of node 0 for several nodes, got ''")
        return {}
    host, port = parse_endpoint(config.rdzv_endpoint)
    if port is None and config.rdzv_backend == "static":
        raise UsageError(f"port is missing in endpoint: {config.rdzv_endpoint}. Try to specify --master-port")
    by_arrival = config.rdzv_backend == "c10d" and config.max_nodes > 1
    return {
        "node_rank": None if by_arrival else int(config.rdzv_configs.get("rank", 0)),
        "master_addr": host,
        "master_port": port or 0,
        "join_timeout": wait,
    }


def _command(entrypoint: str | None, args: list[Any]) -> dict[str, Any]:
    """What the launcher is to run. Of this interpreter, it runs scripts and modules by itself."""
    if not isinstance(entrypoint, str):
        raise ValueError(f"entrypoint must be a function or a program's name, got {entrypoint!r}")
    words = tuple(map(str, args))
    rest = words[1:] if words[:1] == ("-u",) else words
    if entrypoint == sys.executable and rest:
        if rest[0] == "-m" and len(rest) > 1:
            return {"target": rest[1], "args": rest[2:], "kind": "module"}
        if not rest[0].startswith("-"):
            return {"target": rest[0], "args": rest[1:], "kind": "script"}
    return {"target": entrypoint, "args": words, "kind": "program"}


def _get_entrypoint_name(entrypoint: Callable | str | None, args: list[Any]) -> str:
    """What a job is called in errors: the function, the script that Python runs, or the program."""
    if callable(entrypoint):
        return getattr(entrypoint, "__name__", type(entrypoint).__name__)
    if entrypoint == sys.executable:
        return next((str(arg) for arg in args if not str(arg).startswith("-")), "")
    return entrypoint or ""
