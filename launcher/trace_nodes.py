"""`--trace` with several nodes: clocks are compared with node 0's at the start, files brought to node 0 at the end.

`Ask` runs a request on the job's store. Clocks are compared as NTP does (RFC 5905, section 8): a node asks node 0 for
its time and takes the answer to be of the moment in the middle; the quickest of several answers counts.
"""

import zlib
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import Any

from .clock import nanoseconds

Ask = Callable[[Callable[[Any], Any]], Any]
ROUNDS = 8
PIECE = 8 << 20  # bytes of a file in one value of the store


def answer_clocks(ask: Ask, wait: Callable[[str], bytes], nnodes: int) -> None:
    """Node 0's part: tell every other node the time, as often as it asks."""
    for node in range(1, nnodes):
        for turn in range(ROUNDS):
            wait(f"trace/ask/{node}/{turn}")
            _set(ask, f"trace/time/{node}/{turn}", str(nanoseconds()).encode())


def compare_clock(ask: Ask, wait: Callable[[str], bytes], node: int) -> int:
    """Another node's part: the nanoseconds to be added to its times to have node 0's."""
    answers = []
    for turn in range(ROUNDS):
        if turn == 0:  # node 0 may be busy with another node: what counts begins when it is there for this one
            _set(ask, f"trace/ask/{node}/0", b"1")
            wait(f"trace/time/{node}/0")
            continue
        asked = nanoseconds()
        _set(ask, f"trace/ask/{node}/{turn}", b"1")
        told = int(wait(f"trace/time/{node}/{turn}"))
        answers.append((nanoseconds() - asked, told - (asked + nanoseconds()) // 2))
    return min(answers)[1]


def send_files(ask: Ask, folder: Path, node: int, shift: int) -> None:
    """Leave this node's files in the store, for node 0."""
    pieces = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            while data := file.read(PIECE):
                name = str(path.relative_to(folder)).encode()
                value = b"%d:%s%s" % (len(name), name, zlib.compress(data, 1))
                _set(ask, f"trace/file/{node}/{pieces}", value)
                pieces += 1
    _set(ask, f"trace/sent/{node}", f"{pieces} {shift}".encode())


def receive_files(ask: Ask, wait: Callable[[str], bytes], folder: Path, node: int) -> int:
    """Put the files that `node` has left into `folder`; returns its clock's shift."""
    pieces, shift = map(int, wait(f"trace/sent/{node}").split())
    for number in range(pieces):
        key = f"trace/file/{node}/{number}"
        length, _, rest = wait(key).partition(b":")
        path = folder / rest[: int(length)].decode()
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"node {node} names a file outside its folder: {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(zlib.decompress(rest[int(length) :]))
        ask(methodcaller("delete_key", key))
    return shift


def _set(ask: Ask, key: str, value: bytes) -> None:
    ask(methodcaller("set", key, value))
