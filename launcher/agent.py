"""The launcher on one node: it meets the other nodes, starts the workers, watches them, and starts them again."""

import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from disttorch.comm.liveness import heartbeat_limit, known_silence

from .clock import monotonic
from .config import LaunchConfig
from .console import Consoles
from .errors import RendezvousError, UsageError
from .failure import Failure, report, root_cause, signal_name
from .group import WorkerGroup
from .inspection import inspect_own
from .reaper import Reaper
from .rendezvous import Interrupted, Rendezvous
from .signals import Signals
from .target import check_target
from .trace import check_trace
from .tracing import JobTrace

LAST_WORDS = 1.0  # seconds that the console's reader has, after a signal, to take what is left


@dataclass(frozen=True)
class JobEnd:
    """How a job ended."""

    failures: Sequence[Failure] = ()  # of the last attempt
    signal: int | None = None  # that ended the launcher

    @property
    def exit_status(self) -> int:
        """0, the first failing worker's (128 + n for signal n), or 128 + n where signal n ended the launcher."""
        if self.failures:
            return root_cause(self.failures).exit_status
        return 128 + self.signal if self.signal else 0


def launch(config: LaunchConfig) -> int:
    """`run_job`; the job's exit status."""
    return run_job(config).exit_status


def run_job(config: LaunchConfig) -> JobEnd:
    """Run the job to its end.

    To be called from the main thread. Raises UsageError where nothing could be started, and LaunchError where workers
    cannot be started or the nodes of a job lose one another; nothing is left running then either.
    """
    try:
        heartbeat_limit()
    except ValueError as error:
        raise UsageError(str(error)) from None
    check_target(config)
    if config.trace:
        check_trace(config.trace)
    consoles = Consoles()
    patience = None
    try:
        with Signals() as signals:
            agent = Agent(config, consoles, signals)
            try:
                return agent.run()
            finally:
                agent.close()
                patience = LAST_WORDS if agent.ending_signal else None
    finally:
        consoles.drain(patience)


class Agent:
    """One job's life on this node. `close` leaves nothing behind, whatever state it is in."""

    def __init__(self, config: LaunchConfig, consoles: Consoles, signals: Signals) -> None:
        self._config = config
        self._consoles = consoles
        self._signals = signals
        self._rendezvous = Rendezvous(config, interrupted=lambda: self.ending_signal is not None)
        self._logs: Path | None = None  # where log and error files stay; None: error files go with the scratch folder
        self._reaper = Reaper()
        self._scratch = Path(tempfile.mkdtemp(prefix="disttorch-"))
        self._reaper.watch_path(self._scratch)
        self._trace = JobTrace(config.trace, self._scratch / "trace", self._rendezvous) if config.trace else None
        self._group: WorkerGroup | None = None
        self._look_at = monotonic()  # when to look at the other nodes again

    @property
    def ending_signal(self) -> int | None:
        """The signal that ends the launcher; SIGPIPE where nobody reads its output any more."""
        if self._signals.received:
            return self._signals.received[0]
        return signal.SIGPIPE if self._consoles.closed else None

    def run(self) -> JobEnd:
        """The job from its start to its end."""
        failures: list[Failure] = []
        try:
            self._rendezvous.open()
            if self._rendezvous.key_file:
                self._reaper.watch_path(self._rendezvous.key_file)
            self._logs = _log_folder(self._config)
            if self._logs and not self._config.log_dir:
                self._tell(f"disttorch: the workers' log files are in {self._logs}\n")
            if self._trace:
                self._trace.start()
            for attempt in range(self._config.max_restarts + 1):
                failures = self._attempt(attempt)
                if not failures or self.ending_signal:
                    break
                self._tell(report(failures, self._config.command, self._logs))
                if attempt < self._config.max_restarts:
                    self._tell(
                        f"disttorch: starting all workers again ({attempt + 1} of {self._config.max_restarts})\n"
                    )
        except Interrupted:
            failures = []
        if self._trace and self._group:
            self._tell(self._trace.finish())
        if failures and self.ending_signal:
            self._tell(report(failures, self._config.command, self._logs))
        if self.ending_signal:
            why = f"stopped by {signal_name(self.ending_signal)}"
            self._tell(f"disttorch: {why}\n")
            self._rendezvous.tell_stopped(why)
        return JobEnd(failures, self.ending_signal)

    def close(self) -> None:
        if self._group:
            self._group.close()
        self._rendezvous.close()
        shutil.rmtree(self._scratch)
        self._reaper.release()

    def _attempt(self, attempt: int) -> list[Failure]:
        """Start all workers and see them to their end; the failures of all nodes."""
        place = self._rendezvous.join(attempt)
        self._group = WorkerGroup(self._config, place, self._consoles, self._reaper)
        self._group.start(
            (self._logs or self._scratch) / f"attempt_{attempt}",
            self._rendezvous.secret,
            self._trace.folder if self._trace else None,
        )
        failures: list[Failure] = []
        try:
            self._watch(self._group)
            failures = self._group.collect()
            return failures if self.ending_signal else self._conclude(failures)
        except RendezvousError:
            failures = failures or self._end_alone(self._group)
            if failures:
                self._tell(report(failures, self._config.command, self._logs))
            raise

    def _watch(self, group: WorkerGroup) -> None:
        """Carry the workers until all have ended, and stop them for a signal or a failure anywhere."""
        while not group.poll():
            if self.ending_signal:
                number = signal.SIGINT if self.ending_signal == signal.SIGINT else signal.SIGTERM
                impatient = len(self._signals.received) > 1
                group.stop(number, 0 if impatient else self._config.shutdown_timeout)
            elif not group.stopping and (self._announce(group) or self._failed_elsewhere()):
                group.stop(signal.SIGTERM, self._config.shutdown_timeout)
            for rank in group.stopped():
                self._rendezvous.tell_stopped_worker(rank, known_silence(heartbeat_limit()))
            for rank in group.end_stopped():
                self._tell(f"disttorch: killing rank {rank}, which a signal has stopped; all others here have ended\n")
            group.turn(self._signals.fd, self._until_look)
            self._signals.clear()
            if self._signals.inspection_wanted:
                self._signals.inspection_wanted = False
                self._tell(inspect_own(os.getpid()))
        if not group.stopping:
            self._announce(group)  # the last worker, or all at once

    def _end_alone(self, group: WorkerGroup) -> list[Failure]:
        """Stop the workers here, whatever the other nodes do; the failures that came before."""
        group.stop(signal.SIGTERM, self._config.shutdown_timeout)
        while not group.poll():
            group.turn(self._signals.fd, None)
            self._signals.clear()
        return group.collect()

    def _announce(self, group: WorkerGroup) -> bool:
        """Tell the others who has failed here; whether anybody has."""
        failures = group.failures()
        for failure in failures:
            self._rendezvous.announce(failure)
        return bool(failures)

    def _conclude(self, failures: list[Failure]) -> list[Failure]:
        """Wait for the workers of the other nodes; everybody's failures."""
        self._rendezvous.tell_end(failures)
        while not (failures or self._rendezvous.all_ended() or self._failed_elsewhere()):
            self._signals.wait(self._config.monitor_interval)
            if self.ending_signal:
                raise Interrupted
        return self._rendezvous.failures(failures)

    @property
    def _until_look(self) -> float | None:
        """Seconds until the other nodes are looked at; None without others: own workers make themselves heard."""
        return max(0.0, self._look_at - monotonic()) if self._config.nnodes > 1 else None

    def _failed_elsewhere(self) -> bool:
        """Whether another node's worker has failed, asked no more often than the monitor interval."""
        if self._config.nnodes == 1 or monotonic() < self._look_at:
            return False
        self._look_at = monotonic() + self._config.monitor_interval
        return self._rendezvous.others_failed()

    def _tell(self, text: str) -> None:
        self._consoles.err.write(text.encode(errors="backslashreplace"))


def _log_folder(config: LaunchConfig) -> Path | None:
    """A folder of this job's own for its log and error files, where the configuration asks for some."""
    if not (config.log_dir or config.redirects or config.tee):
        return None
    base = config.log_dir or tempfile.gettempdir()
    try:
        Path(base).mkdir(parents=True, exist_ok=True)
        # Absolute: a worker may change its folder before it writes.
        return Path(tempfile.mkdtemp(prefix=f"{config.run_id.replace('/', '_')}_", dir=base)).absolute()
    except OSError as error:
        raise UsageError(f"--log-dir {base} cannot be used: {error.strerror}") from None
