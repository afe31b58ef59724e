"""torch.distributed.elastic.multiprocessing.api: where workers' streams go, and the signal that ended a job."""

import signal
from collections.abc import Collection, Mapping

from ....launcher.config import Std


class SignalException(Exception):
    """A signal has ended the job. `sigval`: which one."""

    def __init__(self, msg: str, sigval: int):
        super().__init__(msg)
        self.sigval = signal.Signals(sigval)

    def __reduce__(self):
        return type(self), (*self.args, self.sigval)


class DefaultLogsSpecs:
    """Where workers' output goes.

    log_dir: the folder in which each job makes one of its own, with the files attempt_N/LOCAL_RANK/stdout.log and
    stderr.log. redirects: streams that go to files only; tee: streams that go to files and to the console: a Std for
    all workers, or one by local rank. local_ranks_filter: the local ranks whose output the console shows (None: all).
    """

    def __init__(
        self,
        log_dir: str | None = None,
        redirects: Std | Mapping[int, Std] = Std.NONE,
        tee: Std | Mapping[int, Std] = Std.NONE,
        local_ranks_filter: Collection[int] | None = None,
    ):
        self.root_log_dir = log_dir
        self.redirects, self.tee, self.local_ranks_filter = redirects, tee, local_ranks_filter


def to_map(val_or_map: Std | Mapping[int, Std], local_world_size: int) -> dict[int, Std]:
    """A choice of streams for each local rank: one for all, or that of a mapping, where others have none."""
    if isinstance(val_or_map, Std):
        return dict.fromkeys(range(local_world_size), val_or_map)
    return {rank: val_or_map.get(rank, Std.NONE) for rank in range(local_world_size)}
