"""What to launch: a frozen record, and the pure function that makes it from a command line's options."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Literal

from .errors import UsageError

DEFAULT_PORT = 29500  # torchrun's, where nodes must know it beforehand
JOIN_TIMEOUT = 300.0  # seconds that nodes may be started apart
NO_EFFECT = (  # keys of --rdzv-conf that torchrun knows
    "timeout", "read_timeout", "last_call_timeout", "close_timeout", "heartbeat_timeout", "keep_alive_interval",
    "keep_alive_max_attempt", "is_host", "store_type", "use_libuv", "rank",
)  # fmt: skip
SHUTDOWN_TIMEOUT = 3.0  # seconds between asking workers to end and killing them: a dead rank's job is over within 5 s

Kind = Literal["script", "module", "program"]


class Std(IntFlag):
    """A choice of a worker's standard streams, numbered as torchrun numbers them."""

    NONE = 0
    OUT = 1
    ERR = 2
    ALL = 3


@dataclass(frozen=True)
class LaunchConfig:
    """One job, as this node sees it. `LaunchConfig("train.py", nproc_per_node=2)` is enough.

    Raises UsageError where a field has a value that cannot be launched.
    """

    target: str  # a script's path, a module's name, or a program
    args: tuple[str, ...] = ()  # what the target gets as its arguments
    kind: Kind = "script"
    as_torch: bool = False  # `import torch` in the target gives disttorch
    nproc_per_node: int = 1  # workers on this node
    nnodes: int = 1
    node_rank: int | None = 0  # None: by order of arrival
    master_addr: str = "127.0.0.1"  # of node 0
    master_port: int = 0  # 0: a free one (one node only)
    local_addr: str | None = None  # this node's own address, where its host name will not do
    join_timeout: float = JOIN_TIMEOUT  # seconds that nodes may be started apart
    run_id: str = "none"
    role: str = "default"
    max_restarts: int = 0  # how often all workers are started again after a failure
    monitor_interval: float = 0.1  # seconds between two looks at the other nodes (own workers are seen at once)
    shutdown_timeout: float = SHUTDOWN_TIMEOUT  # seconds
    threads_per_worker: int = 1  # OMP_NUM_THREADS, where the environment does not set it
    log_dir: str | None = None
    trace: str | None = None  # where to write a timeline of all ranks (on node 0)
    redirects: Mapping[int, Std] = field(default_factory=dict)  # by local rank: to a file only
    tee: Mapping[int, Std] = field(default_factory=dict)  # by local rank: to a file and to the console
    shown: frozenset[int] | None = None  # local ranks whose output the console shows; None: all

    def __post_init__(self) -> None:
        _require(self.nproc_per_node >= 1, "--nproc-per-node", "at least 1", self.nproc_per_node)
        _require(self.nnodes >= 1, "--nnodes", "at least 1", self.nnodes)
        _require(self.max_restarts >= 0, "--max-restarts", "at least 0", self.max_restarts)
        _require(self.monitor_interval > 0, "--monitor-interval", "more than 0 seconds", self.monitor_interval)
        _require(self.shutdown_timeout >= 0, "--shutdown-timeout", "at least 0 seconds", self.shutdown_timeout)
        _require(0 <= self.master_port <= 65535, "--master-port", "a port from 0 to 65535", self.master_port)
        if self.node_rank is not None:
            wanted = f"from 0 to {self.nnodes - 1} (--nnodes is {self.nnodes})"
            _require(0 <= self.node_rank < self.nnodes, "--node-rank", wanted, self.node_rank)
        for option, ranks in (("--redirects", self.redirects), ("--tee", self.tee)):
            _require_local(option, ranks, self.nproc_per_node)
        _require_local("--local-ranks-filter", self.shown or (), self.nproc_per_node)

    @property
    def command(self) -> str:
        """The target and its arguments as a person would type them."""
        return " ".join([*(["-m"] if self.kind == "module" else []), self.target, *self.args])


@dataclass(frozen=True)
class Machine:
    """What the plan must know of this node."""

    devices: int  # CUDA devices that workers will see
    cores: int


def config_from_args(options: Mapping[str, Any], machine: Machine) -> LaunchConfig:
    """The job that torchrun's options describe; names as on the command line with `_` for `-`, None where not given.

    Raises UsageError, naming the option, what came and what was wanted.
    """
    given = {name: value for name, value in options.items() if value is not None}
    nproc = worker_count(given.get("nproc_per_node"), machine)
    nnodes = node_count(given.get("nnodes", "1"))
    fields: dict[str, Any] = {
        "target": given["training_script"],
        "args": tuple(given.get("training_script_args", ())),
        "kind": target_kind(given),
        "nproc_per_node": nproc,
        "nnodes": nnodes,
        "threads_per_worker": max(1, machine.cores // nproc),
        "redirects": parse_std("--redirects", given.get("redirects", "0"), nproc),
        "tee": parse_std("--tee", given.get("tee", "0"), nproc),
        "shown": parse_ranks("--local-ranks-filter", given.get("local_ranks_filter", "")),
        **rendezvous_fields(given, nnodes),
    }
    renamed = {"rdzv_id": "run_id"}
    plain = (
        "as_torch",
        "local_addr",
        "role",
        "max_restarts",
        "monitor_interval",
        "shutdown_timeout",
        "log_dir",
        "trace",
        "rdzv_id",
    )
    return LaunchConfig(**fields, **{renamed.get(name, name): given[name] for name in plain if name in given})


def worker_count(text: str | None, machine: Machine) -> int:
    """Workers on this node: a number, "cpu", "gpu", "auto" (gpu, else cpu); None: one a device, or one."""
    match text:
        case None:
            return max(1, machine.devices)
        case "cpu":
            return machine.cores
        case "auto":
            return machine.devices or machine.cores
        case "gpu":
            if machine.devices == 0:
                raise UsageError("--nproc-per-node gpu: no CUDA device is visible (see CUDA_VISIBLE_DEVICES)")
            return machine.devices
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"--nproc-per-node must be a number from 1, or auto, cpu or gpu, got {text!r}")
    return int(text)


def node_count(text: str) -> int:
    """Nodes: "2", or torchrun's "2:2". A range would need workers that come and go."""
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise UsageError(f"--nnodes must be a number (or MIN:MAX), got {text!r}")
    if int(parts[0]) != int(parts[-1]):
        raise UsageError(f"--nnodes {text}: a changing number of nodes is not supported; give one number")
    return int(parts[0])


def target_kind(given: Mapping[str, Any]) -> Kind:
    """How the target is run. --run-path wins over --no-python, as in torchrun."""
    if given.get("module"):
        if given.get("no_python"):
            raise UsageError("--no-python and --module exclude each other")
        return "module"
    return "program" if given.get("no_python") and not given.get("run_path") else "script"


def rendezvous_fields(given: Mapping[str, Any], nnodes: int) -> dict[str, Any]:
    """Where the nodes meet: on this one alone, at --master-addr (static) or at --rdzv-endpoint."""
    backend = given.get("rdzv_backend", "static")
    if backend not in ("static", "c10d"):
        raise UsageError(f"--rdzv-backend must be static or c10d, got {backend!r}")
    if given.get("standalone"):
        if nnodes > 1:
            raise UsageError(f"--standalone is for one node, got --nnodes {nnodes}")
        return {}
    host, port = parse_endpoint(given["rdzv_endpoint"]) if given.get("rdzv_endpoint") else (None, None)
    free = 0 if nnodes == 1 else DEFAULT_PORT
    by_arrival = backend == "c10d" and "node_rank" not in given and nnodes > 1
    return {
        "node_rank": None if by_arrival else given.get("node_rank", 0),
        "master_addr": host or given.get("master_addr", "127.0.0.1"),
        "master_port": port if port is not None else given.get("master_port", free),
        "join_timeout": join_timeout(given.get("rdzv_conf", "")),
    }


def join_timeout(text: str) -> float:
    """What torchrun's --rdzv-conf "join_timeout=600,timeout=900" says of it."""
    seconds = JOIN_TIMEOUT
    for part in filter(None, text.split(",")):
        key, sign, value = map(str.strip, part.partition("="))
        if not sign or not (key == "join_timeout" or key in NO_EFFECT):
            known = ", ".join(("join_timeout", *NO_EFFECT))
            raise UsageError(f"--rdzv-conf must be KEY=VALUE,KEY=VALUE,… with keys of {known}, got {text!r}")
        if key == "join_timeout":
            if not value.isdecimal() or int(value) == 0:
                raise UsageError(f"--rdzv-conf join_timeout must be a number of seconds from 1, got {value!r}")
            seconds = float(value)
    return seconds


def parse_endpoint(text: str) -> tuple[str, int | None]:
    """A host and its port (None if not given): "host", "host:port", "[::1]:port"."""
    match = re.fullmatch(r"(\[[^]]+\]|[^:]+)(?::(\d+))?", text)
    if not match or int(match[2] or 0) > 65535:
        raise UsageError(f"--rdzv-endpoint must be HOST:PORT with a port from 0 to 65535, got {text!r}")
    return match[1].strip("[]"), int(match[2]) if match[2] else None


def parse_std(option: str, text: str, nproc: int) -> dict[int, Std]:
    """torchrun's stream choice: "3" for every worker, or "0:1,1:2" by local rank (0 none, 1 out, 2 err, 3 both)."""
    if text in ("0", "1", "2", "3"):
        return {rank: Std(int(text)) for rank in range(nproc)} if text != "0" else {}
    chosen: dict[int, Std] = {}
    for part in text.split(","):
        rank, _, stream = part.partition(":")
        if not rank.isdecimal() or stream not in ("0", "1", "2", "3"):
            raise UsageError(f"{option} must be 0 to 3, or RANK:0-3,RANK:0-3,…, got {text!r}")
        chosen[int(rank)] = Std(int(stream))
    return chosen


def parse_ranks(option: str, text: str) -> frozenset[int] | None:
    """Local ranks "0,2"; None where none are given."""
    if not text:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"{option} must be local ranks such as 0,2, got {text!r}")
    return frozenset(map(int, parts))


def _require(holds: bool, option: str, wanted: str, got: object) -> None:
    if not holds:
        raise UsageError(f"{option} must be {wanted}, got {got}")


def _require_local(option: str, ranks: Collection[int], nproc: int) -> None:
    if beyond := sorted(rank for rank in ranks if rank >= nproc):
        raise UsageError(f"{option}: there is no local rank {beyond[0]} among {nproc} (0 to {nproc - 1})")
