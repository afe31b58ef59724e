"""`--trace`: the workers' trace files (see `disttorch/profiler/trace_file.py`) made into one Chrome trace.

A process of the trace is a rank, its threads are the worker's. Times are microseconds since the earliest event.
"""

import json
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError

NONE = -1  # the label of no event


@dataclass
class RankTrace:
    """What one worker has recorded. `shift`: nanoseconds to be added to its times to have node 0's."""

    rank: int
    host: str
    pid: int
    chunk: int  # bytes
    events: Path
    labels: dict[int, dict[str, Any]] = field(default_factory=dict)
    threads: dict[int, str] = field(default_factory=dict)
    chunks: list[Mapping[str, Any]] = field(default_factory=list)  # of each: its thread, lane and format of records
    full: bool = False  # later events found no room
    shift: int = 0

    def __iter__(self) -> Iterator[tuple[int, int, int, int]]:
        """(start, end, label, thread) of every event, in nanoseconds; end is 0 where it was cut short."""
        for start, end, label, thread in self._recorded():
            yield start + self.shift, end and end + self.shift, label, thread

    def _recorded(self) -> Iterator[tuple[int, int, int, int]]:
        going: dict[int, tuple[int, int, int]] = {}  # lane -> start, label and thread of an event that the next ends
        with open(self.events, "rb") as file:
            for chunk in self.chunks:
                thread, lane = chunk["chunk_of"], chunk["lane"]
                for start, *end, label in struct.iter_unpack(chunk["record"], file.read(self.chunk)):
                    if not start:
                        break
                    if end:
                        yield start, end[0], label, thread
                        continue
                    if lane in going:
                        began, before, _ = going.pop(lane)
                        yield began, start, before, thread
                    if label != NONE:
                        going[lane] = start, label, thread
        for start, label, thread in going.values():
            yield start, 0, label, thread


def read_traces(folder: Path, shift: int = 0) -> list[RankTrace]:
    """What the workers have left in `folder`; a worker that ran without Python, or ended at once, left nothing."""
    found = []
    for path in sorted(folder.rglob("*.labels")):
        lines = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if lines:
            found.append(_understood(lines, path.with_suffix(".events"), shift))
    return found


def _understood(lines: Sequence[Mapping[str, Any]], events: Path, shift: int) -> RankTrace:
    first = lines[0]
    trace = RankTrace(first["rank"], first["host"], first["pid"], first["chunk"], events, shift=shift)
    for line in lines[1:]:
        if "label" in line:
            trace.labels[line["label"]] = {key: line[key] for key in ("name", "cat", "args")}
        elif "thread" in line:
            trace.threads[line["thread"]] = line["name"]
        elif "chunk_of" in line:
            trace.chunks.append(line)
        else:
            trace.full = True
    return trace


def chrome_events(traces: Sequence[RankTrace]) -> Iterator[dict[str, Any]]:
    """The events of all ranks in the Chrome trace event format.

    An event that was cut short (its worker was killed, or hung) lasts until the last moment that its rank has recorded,
    and says so.
    """
    first = min((start for trace in traces for start, *_ in trace), default=0)
    for trace in traces:
        last = max((max(start, end) for start, end, *_ in trace), default=0)
        process = {"ph": "M", "pid": trace.rank}
        yield process | {
            "name": "process_name", "args": {"name": f"rank {trace.rank} ({trace.host}, process {trace.pid})"}
        }  # fmt: skip
        yield process | {"name": "process_sort_index", "args": {"sort_index": trace.rank}}
        for thread, name in trace.threads.items():
            yield process | {"name": "thread_name", "tid": thread, "args": {"name": name}}
        for start, end, label, thread in trace:
            shown = trace.labels.get(label, {"name": "?", "cat": "?", "args": {}})
            if not end:
                shown = shown | {"args": shown["args"] | {"unfinished": True}}
            yield shown | {
                "ph": "X", "pid": trace.rank, "tid": thread,
                "ts": (start - first) / 1000, "dur": ((end or last) - start) / 1000,
            }  # fmt: skip


def write_trace(path: str, traces: Sequence[RankTrace]) -> None:
    """Write all traces as one JSON file, whole or not at all. OSError where it cannot be written."""
    target = os.path.abspath(path)
    handle, part = tempfile.mkstemp(dir=os.path.dirname(target), prefix=f".{os.path.basename(target)}.")
    try:
        with open(handle, "w") as file:
            file.write('{"displayTimeUnit": "ms", "traceEvents": [')
            for number, event in enumerate(chrome_events(traces)):
                file.write(",\n" if number else "\n")
                json.dump(event, file)
            file.write("\n]}\n")
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise


def check_trace(path: str) -> None:
    """Raises UsageError unless a file can be made at `path`: before the job, which may take days."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise UsageError(f"--trace must be a file, but {path} is a folder")
    if not os.path.isdir(folder):
        raise UsageError(f"--trace {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--trace {path}: the folder {folder} cannot be written to")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
