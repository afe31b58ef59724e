"""What the kernel says of a TCP connection: how it ended, and whether the other end answers."""

from __future__ import annotations

import os
import socket
import struct
import sys

from . import clock

PROBES = 2  # questions that the kernel asks an idle connection's other end before it gives the connection up
CONNECTING, CLOSED, CLOSED_THERE = 2, 7, 8  # states of a connection, as the kernel numbers them
_INFO = struct.Struct("=BxB225xI")  # state, retransmissions in a row, bytes for which the other end has room


def keepalive_step(silence: float) -> int:
    """Seconds between two questions with which a connection is given up before it was silent for `silence` seconds,
    but not before 3.
    """
    return max(1, int(silence / (PROBES + 2)))


def keep_alive(sock: socket.socket, silence: float) -> None:
    """Have the kernel ask, where a connection is idle, whether the other end is still there."""
    step = keepalive_step(silence)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", step), ("TCP_KEEPINTVL", step), ("TCP_KEEPCNT", PROBES)):
        if hasattr(socket, name):  # not everywhere but on Linux
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def reason(error: OSError) -> str:
    """How a connection ended, as words that follow its name."""
    return f"failed: {error.strerror}"


def ended(sock: socket.socket) -> str:
    """How the kernel ended a connection; "" if it has not."""
    if _inspect(sock)[0] != CLOSED:
        return ""
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return f"failed: {os.strerror(number)}" if number else "ended"


class Line:
    """A connection over which this rank sends and hears nothing but that it arrived. For one thread."""

    def __init__(self) -> None:
        self._unanswered: float | None = None  # since when the kernel has repeated what was sent

    def failure(self, sock: socket.socket, silence: float) -> str:
        """How it failed, if it has: it ended, or for `silence` seconds nobody has answered."""
        state, repeated, room = _inspect(sock)
        if state == CLOSED:
            return ended(sock)
        if state == CLOSED_THERE:
            return "was closed"
        if state == CONNECTING or (repeated and room):  # a rank that takes nothing in has no room, and answers
            return self.silent(silence)
        self._unanswered = None
        return ""

    def silent(self, silence: float) -> str:
        """Note that nobody has answered yet; see `failure`."""
        self._unanswered = self._unanswered or clock.now()
        return "was not answered" if clock.now() - self._unanswered > silence else ""


def _inspect(sock: socket.socket) -> tuple[int, ...]:
    """See _INFO; zeros if the connection has been closed here, and on systems other than Linux."""
    if sys.platform != "linux":
        return 0, 0, 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:
        return 0, 0, 0
    return _INFO.unpack(info.ljust(_INFO.size, b"\0"))
