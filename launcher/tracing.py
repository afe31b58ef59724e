"""The trace of one job on this node: a folder for the workers' files, made into one file when they have ended."""

from contextlib import suppress
from pathlib import Path

from .errors import RendezvousError
from .rendezvous import Interrupted, Rendezvous
from .trace import RankTrace, read_traces, write_trace
from .trace_nodes import answer_clocks, compare_clock, receive_files, send_files

CLOCKS_TIMEOUT = 300.0  # seconds that the other nodes may be late at the start
FILES_TIMEOUT = 10.0  # seconds that they may take to send their traces after their workers have ended


class JobTrace:
    """`path` is written by node 0; `folder` is where this node's workers trace themselves."""

    def __init__(self, path: str, folder: Path, rendezvous: Rendezvous) -> None:
        self.folder = folder
        self._path = path
        self._rendezvous = rendezvous
        self._shift = 0  # of this node's clock

    def start(self) -> None:
        """Make the folder, and compare the nodes' clocks: all nodes meet in this."""
        self.folder.mkdir()
        meeting = self._rendezvous
        wait = meeting.waiting_for(CLOCKS_TIMEOUT, "did not come to compare clocks (--trace on every node?)")
        if meeting.node_rank == 0:
            answer_clocks(meeting.ask, wait, meeting.nnodes)
        else:
            self._shift = compare_clock(meeting.ask, wait, meeting.node_rank)

    def finish(self) -> str:
        """After the workers' end: write the trace. Returns what is to be said about it."""
        meeting = self._rendezvous
        if meeting.node_rank != 0:
            with suppress(RendezvousError):  # node 0 is lost, and with it the trace; that is reported already
                send_files(meeting.ask, self.folder, meeting.node_rank, self._shift)
            return ""
        traces, said = read_traces(self.folder), ""
        for node in range(1, meeting.nnodes):
            try:
                traces += self._of_node(node)
            except (RendezvousError, Interrupted):
                said += f"disttorch: the trace lacks node {node}: it did not send its part\n"
        if not traces:
            return f"{said}disttorch: no trace was written: no worker has recorded anything\n"
        try:
            write_trace(self._path, traces)
        except OSError as error:
            return f"{said}disttorch: cannot write the trace {self._path}: {error.strerror}\n"
        full = ", ".join(str(trace.rank) for trace in traces if trace.full)
        if full:
            said += f"disttorch: the trace of rank(s) {full} ends early: there was no room for more events\n"
        return f"{said}disttorch: wrote the trace {self._path}\n"

    def _of_node(self, node: int) -> list[RankTrace]:
        meeting, folder = self._rendezvous, self.folder.with_name(f"trace_{node}")
        wait = meeting.waiting_for(FILES_TIMEOUT, "did not send a trace")
        shift = receive_files(meeting.ask, wait, folder, node)
        return read_traces(folder, shift)
