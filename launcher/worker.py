"""One worker: its environment (a pure plan), its process, and its output streams."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .clock import monotonic, now
from .config import LaunchConfig
from .failure import Failure, read_raised, read_stack
from .logs import LinePrefixer, Route, Routes

CHANGES = os.WEXITED | os.WSTOPPED | os.WCONTINUED  # of a process, that its parent is told
BOOTSTRAP = str(Path(__file__).with_name("bootstrap.py"))


@dataclass(frozen=True)
class Place:
    """Where this node's workers stand in the job, for one attempt."""

    node_rank: int
    first_rank: int  # the rank of this node's local rank 0
    world_size: int
    master_addr: str
    master_port: int
    attempt: int = 0  # how often the workers have been restarted


def worker_environment(
    config: LaunchConfig,
    place: Place,
    local_rank: int,
    error_file: str,
    secret: str,
    environ: Mapping[str, str],
    trace: str = "",
) -> dict[str, str]:
    """The environment of a worker: the launcher's own, and torchrun's variables. `trace`: where it traces itself."""
    rank = str(place.first_rank + local_rank)
    own = {name: value for name, value in environ.items() if name != "DISTTORCH_TRACE"}  # of a job that this one is in
    return {
        "OMP_NUM_THREADS": str(config.threads_per_worker),
        **own,
        **({"DISTTORCH_TRACE": trace} if trace else {}),
        "RANK": rank,
        "LOCAL_RANK": str(local_rank),
        "GROUP_RANK": str(place.node_rank),
        "ROLE_RANK": rank,
        "ROLE_NAME": config.role,
        "WORLD_SIZE": str(place.world_size),
        "LOCAL_WORLD_SIZE": str(config.nproc_per_node),
        "GROUP_WORLD_SIZE": str(config.nnodes),
        "ROLE_WORLD_SIZE": str(place.world_size),
        "MASTER_ADDR": place.master_addr,
        "MASTER_PORT": str(place.master_port),
        "TORCHELASTIC_RESTART_COUNT": str(place.attempt),
        "TORCHELASTIC_MAX_RESTARTS": str(config.max_restarts),
        "TORCHELASTIC_RUN_ID": config.run_id,
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "DISTTORCH_AGENT_PORT": str(place.master_port),  # a program that sets another MASTER_PORT serves it itself
        "TORCHELASTIC_ERROR_FILE": error_file,
        "DISTTORCH_JOB_SECRET": secret,
        "DISTTORCH_AS_TORCH": "1" if config.as_torch else "0",
    }


def worker_command(config: LaunchConfig, launcher: int) -> list[str]:
    """The command line of every worker: our bootstrap, which becomes the target."""
    flags = ["-I", "-S"] if config.kind == "program" else subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, BOOTSTRAP, str(launcher), config.kind, config.target, *config.args]


class Stream:
    """One of a worker's pipes, as the launcher reads it."""

    def __init__(self, pipe: IO[bytes], prefixer: LinePrefixer, copy: IO[bytes] | None, to_stdout: bool) -> None:
        self.pipe = pipe
        self.prefixer = prefixer
        self.copy = copy  # the log file of a teed stream
        self.to_stdout = to_stdout
        self.fileno = pipe.fileno()
        os.set_blocking(self.fileno, False)

    def close(self) -> None:
        self.pipe.close()
        if self.copy:
            self.copy.close()


class Worker:
    """One worker process, the leader of a session of its own. Raises OSError where it cannot be started."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        place: Place,
        folder: Path,
        routes: Routes,
        prefixer: tuple[LinePrefixer, LinePrefixer],
    ) -> None:
        self.local_rank = int(environment["LOCAL_RANK"])
        self.rank = int(environment["RANK"])
        self.exit_code: int | None = None  # -n: ended by signal n
        self.ended_at = 0.0  # seconds since the epoch
        self.stopped_at: float | None = None  # since when (monotonic) a signal has stopped it
        self._sent: set[int] = set()  # signals
        self._place = place
        self._error_file = Path(environment["TORCHELASTIC_ERROR_FILE"])
        self._stack_file = Path(f"{self._error_file}.stack")
        with ExitStack() as opened:  # the child's ends, which are closed here once it has them
            out = _open_route(routes.out, folder / "stdout.log", opened)
            err = subprocess.STDOUT if routes.joined else _open_route(routes.err, folder / "stderr.log", opened)
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=None if self.local_rank == 0 else subprocess.DEVNULL,  # one reader: several would share lines out
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.streams = []
        for pipe, route, lines, name in (
            (self._process.stdout, routes.out, prefixer[0], "stdout.log"),
            (self._process.stderr, routes.err, prefixer[1], "stderr.log"),
        ):
            if pipe:
                copy = open(folder / name, "ab", buffering=0) if route is Route.TEE else None  # noqa: SIM115
                self.streams.append(Stream(pipe, lines, copy, to_stdout=pipe is self._process.stdout))

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> bool:
        """Whether the process has ended; `exit_code` then says how.

        It stays a zombie until `reap`, so that its number, which is its session's too, cannot be given to another.
        """
        if self.exit_code is None:
            status = os.waitid(os.P_PID, self.pid, CHANGES | os.WNOHANG | os.WNOWAIT)
            if status is None or status.si_code == os.CLD_CONTINUED:
                self.stopped_at = None
            elif status.si_code == os.CLD_STOPPED:
                self.stopped_at = self.stopped_at or monotonic()
            else:
                self.exit_code = status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
                self.ended_at = now()
        return self.exit_code is not None

    def send(self, number: int) -> None:
        """Send a signal to the process and to all in its process group."""
        self._sent.add(number)
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return  # all gone meanwhile

    def reap(self) -> None:
        """Let the ended process go."""
        self._process.wait()
        if self._stack_file.exists() and not self._stack_file.stat().st_size:
            self._stack_file.unlink()  # no crash in native code
        for ending in ("inspect", "pending", "pending.part"):  # see `inspection`
            Path(f"{self._error_file}.{ending}").unlink(missing_ok=True)
        for stream in self.streams:
            stream.close()

    def failure(self) -> Failure | None:
        """What is known of its end, unless it succeeded."""
        if not self.exit_code:
            return None
        exit_code, raised = self.exit_code, read_raised(self._error_file)
        if raised and -exit_code in self._sent:  # our signal met it on its way out
            exit_code = raised.exit_code
        return Failure(
            rank=self.rank,
            local_rank=self.local_rank,
            node_rank=self._place.node_rank,
            host=os.uname().nodename,
            pid=self.pid,
            exit_code=exit_code,
            noticed=self.ended_at,
            raised=raised,
            stack=read_stack(self._stack_file),
        )


def _open_route(route: Route, path: Path, opened: ExitStack) -> int | IO[bytes] | None:
    """What subprocess is to connect a stream to."""
    match route:
        case Route.INHERIT:
            return None
        case Route.DISCARD:
            return subprocess.DEVNULL
        case Route.FILE:
            return opened.enter_context(open(path, "ab"))
        case Route.PIPE | Route.TEE:
            return subprocess.PIPE
