"""What the kernel says of a TCP connection: how it ended, and whether the other end answers."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import NamedTuple

from . import clock

PROBES = 2  # questions that the kernel asks an idle connection's other end before it gives the connection up
CONNECTING, CLOSED, CLOSED_THERE = 2, 7, 8  # states of a connection, as the kernel numbers them
_INFO = struct.Struct("=BxB145xI76xI")  # state, retransmissions in a row, the shortest round trip in microseconds, room
NEAR = 100  # microseconds of a round trip up to which a connection is short
SHORT_BUFFER = 128 << 10  # bytes that one which is paced may hold unsent, or unconfirmed; the kernel allows twice that


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


def unpace(sock: socket.socket) -> None:
    """Keep the kernel from taking the pace that it sets itself for the speed of a short connection.

    BBR sends as fast as it has seen bytes arrive. With always more to send it sees no more than its own pace, and stays
    at it where round trips are short. While a sender has nothing left it does not count, so a small buffer keeps it
    quick; over long round trips the same buffer would hold the sender back.
    """
    if _inspect(sock).round_trip <= NEAR and _congestion_control(sock) == b"bbr":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SHORT_BUFFER)


def reason(error: OSError) -> str:
    """How a connection ended, as words that follow its name."""
    return f"failed: {error.strerror}"


def ended(sock: socket.socket) -> str:
    """How the kernel ended a connection; "" if it has not."""
    if _inspect(sock).state != CLOSED:
        return ""
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return f"failed: {os.strerror(number)}" if number else "ended"


class Line:
    """A connection over which this rank sends and hears nothing but that it arrived. For one thread."""

    def __init__(self) -> None:
        self._unanswered: float | None = None  # since when the kernel has repeated what was sent

    def failure(self, sock: socket.socket, silence: float) -> str:
        """How it failed, if it has: it ended, or for `silence` seconds nobody has answered."""
        state, repeated, _, room = _inspect(sock)
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


class _Info(NamedTuple):
    """What the kernel tells of a connection; `room`: bytes that the other end would take."""

    state: int = 0
    repeated: int = 0
    round_trip: int = sys.maxsize
    room: int = 0


def _inspect(sock: socket.socket) -> _Info:
    """See _INFO; the defaults if the connection has been closed here, and on systems other than Linux."""
    if sys.platform != "linux":
        return _Info()
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:
        return _Info()
    return _Info._make(_INFO.unpack(info.ljust(_INFO.size, b"\0")))


def _congestion_control(sock: socket.socket) -> bytes:
    """The name of the algorithm, on Linux."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
