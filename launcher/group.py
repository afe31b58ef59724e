"""The workers of this node: started together, carried along (output, exits, deadlines) and ended together."""

import os
import select
import signal
from pathlib import Path

from disttorch.comm.liveness import heartbeat_limit, known_silence

from .clock import monotonic, now
from .config import LaunchConfig
from .console import Consoles
from .errors import LaunchError
from .failure import Failure
from .logs import plan_routes
from .reaper import Reaper, end_sessions
from .worker import Place, Stream, Worker, worker_command, worker_environment

CHUNK = 1 << 16  # bytes read from a worker at once; a Linux pipe holds as many
CHECK_KILLED = 0.05  # seconds between two looks at workers that were killed


class WorkerGroup:
    """The workers of one attempt. `close` ends them all, whatever state they are in."""

    def __init__(self, config: LaunchConfig, place: Place, consoles: Consoles, reaper: Reaper) -> None:
        self._config = config
        self._place = place
        self._consoles = consoles
        self._reaper = reaper
        self._workers: list[Worker] = []
        self._streams: list[Stream] = []
        self._asked_at: float | None = None  # when the workers were asked to stop, seconds since the epoch
        self._kill_at = 0.0  # when those that were asked are killed
        self._patience = known_silence(heartbeat_limit())
        self._told: set[int] = set()  # ranks that were reported as stopped

    def start(self, folder: Path, secret: str, traces: Path | None) -> None:
        """Start every worker; its log and error files go to `folder`/its local rank, its trace (None: it makes none) to
        `traces`. Raises LaunchError.
        """
        command = worker_command(self._config, os.getpid())
        for local_rank in range(self._config.nproc_per_node):
            own = folder / str(local_rank)
            own.mkdir(parents=True)
            environment = worker_environment(
                self._config,
                self._place,
                local_rank,
                str(own / "error.json"),
                secret,
                os.environ,
                str(traces / f"{self._place.attempt}.{local_rank}") if traces else "",
            )
            routes = plan_routes(self._config, local_rank, self._consoles.same)
            prefixers = self._consoles.prefixers(self._place.first_rank + local_rank, local_rank)
            try:
                words = [word.replace("${local_rank}", str(local_rank)) for word in command]  # torchrun's macro
                worker = Worker(words, environment, self._place, own, routes, prefixers)
            except OSError as error:
                raise LaunchError(f"cannot start rank {environment['RANK']}: {error}") from error
            self._workers.append(worker)
            self._streams += worker.streams
            self._reaper.watch_session(worker.pid)

    def poll(self) -> bool:
        """Look at every worker; whether all have ended. Kills those whose time to stop is up."""
        running = [worker for worker in self._workers if not worker.poll()]
        if self.stopping and monotonic() >= self._kill_at:
            for worker in running:
                worker.send(signal.SIGKILL)
        return not running

    def stopped(self) -> list[int]:
        """The ranks that a signal has stopped for longer than ranks may be silent, each once."""
        since = monotonic() - self._patience
        late = {worker.rank for worker in self._workers if worker.stopped_at and worker.stopped_at <= since}
        new = sorted(late - self._told)
        self._told |= late
        return new

    def end_stopped(self) -> list[int]:
        """Kill the workers that were reported as stopped, once all others here have ended; their ranks."""
        running = [worker for worker in self._workers if worker.exit_code is None]
        if self._place.world_size == 1 or not all(w.stopped_at and w.rank in self._told for w in running):
            return []
        for worker in running:
            worker.send(signal.SIGKILL)
        return [worker.rank for worker in running]

    @property
    def stopping(self) -> bool:
        return self._asked_at is not None

    def failures(self) -> list[Failure]:
        """The failures so far, without those that only follow from a stop."""
        found = [failure for worker in self._workers if (failure := worker.failure())]
        return [failure for failure in found if self._asked_at is None or failure.time <= self._asked_at]

    def stop(self, number: int, grace: float) -> None:
        """Ask the workers to stop by a signal; kill them `grace` seconds later. Only the first call asks."""
        self._kill_at = min(monotonic() + grace, self._kill_at) if self.stopping else monotonic() + grace
        if not self.stopping:
            self._asked_at = now()
            for worker in self._workers:
                if worker.exit_code is None:
                    worker.send(number)
                    worker.send(signal.SIGCONT)  # one that was stopped would not hear it

    def turn(self, wakeup: int, seconds: float | None) -> None:
        """Carry output until `wakeup` is readable or `seconds` (None: any number) have passed."""
        if self.stopping:
            left = max(0.0, self._kill_at - monotonic()) or CHECK_KILLED
            seconds = left if seconds is None else min(left, seconds)
        for worker in self._workers:
            if worker.stopped_at and worker.rank not in self._told:
                left = max(0.0, worker.stopped_at + self._patience - monotonic())
                seconds = left if seconds is None else min(left, seconds)
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        self._consoles.register(poll)
        streams = {} if self._consoles.congested else {stream.fileno: stream for stream in self._streams}
        for fd in streams:
            poll.register(fd, select.POLLIN)
        for fd, _event in poll.poll(None if seconds is None else seconds * 1000):
            if fd in streams:
                self._read(streams[fd])
        self._consoles.pump()

    def collect(self) -> list[Failure]:
        """After all have ended: end what they left running, carry the last of their output; the failures."""
        end_sessions(worker.pid for worker in self._workers)
        for stream in list(self._streams):
            while self._read(stream):
                continue
            self._finish(stream)
        failures = self.failures()
        self.close()
        return failures

    def close(self) -> None:
        """End every process at once and let it go. Idempotent."""
        for worker in self._workers:
            worker.send(signal.SIGKILL)
        end_sessions(worker.pid for worker in self._workers)
        for worker in self._workers:
            worker.reap()
            self._reaper.forget_session(worker.pid)
        self._workers = []
        self._streams = []

    def _read(self, stream: Stream) -> bool:
        """Carry what one stream holds; whether there was anything."""
        try:
            chunk = os.read(stream.fileno, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._finish(stream)
            return False
        if stream.copy:
            stream.copy.write(chunk)
        console = self._consoles.out if stream.to_stdout else self._consoles.err
        console.write(stream.prefixer.feed(chunk))
        if rest := stream.prefixer.visible_rest():
            console.show(stream.prefixer.prefix, rest)
        return True

    def _finish(self, stream: Stream) -> None:
        """Nothing more will come from a stream: show its last line, though nothing ended it."""
        console = self._consoles.out if stream.to_stdout else self._consoles.err
        console.write(stream.prefixer.flush())
        if stream in self._streams:
            self._streams.remove(stream)
