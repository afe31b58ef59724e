"""Mail over ZeroMQ whose long arrays go by streams: a message without payload tells of each. Never encrypted."""

from __future__ import annotations

from typing import Any

import numpy as np

from .streams import Place, Streams, StreamTicket
from .transport import ZmqMail
from .wire import Header

STREAMED = 128 << 10  # bytes of an array up to which it goes in a message


class StreamedMail(ZmqMail):
    """For one thread at a time, but for `leave` and `close` of its engine; arrays move while that sends or waits."""

    def __init__(self, rank: int, size: int, token: bytes, host: str = "127.0.0.1"):
        super().__init__(rank, size, token, host)
        self._streams = Streams(rank, size, token, host)
        self.place = self._streams.place

    def meet(self, rank: int, peers: list[str], places: list[Place]) -> None:
        super().meet(rank, peers, places)
        self._streams.meet(rank, places)

    def streams(self, total: int) -> bool:
        return total > STREAMED

    def send(self, peer: int, header: Header, data: np.ndarray | None = None) -> Any:
        if data is None or header.total <= STREAMED:
            return self._post(peer, header, data)
        if header.offset == 0:
            self._post(peer, header)
        return self._streams.send(peer, data)

    def _await_message(self, seconds: float) -> bool:
        unsent = self._streams.unsent() if seconds else []
        if not unsent:
            return super()._await_message(seconds)
        inbox, zmq = self._inbox, self._zmq
        entries = [(inbox, zmq.POLLIN), *((stream.sock, zmq.POLLOUT) for stream in unsent)]
        ready = zmq.zmq_poll(entries, int(seconds * 1000))
        for stream in unsent:
            stream.push()
        return any(what is inbox for what, _ in ready)

    def draw(self, peer: int, out: np.ndarray, seconds: float) -> int:
        return self._streams.receive(peer, out, seconds)

    def drained(self, peer: int) -> bool:
        return self._streams.ended(peer)

    def wait_ticket(self, ticket: Any, seconds: float) -> None:
        if isinstance(ticket, StreamTicket):
            self._streams.flush(ticket, seconds)
        else:
            super().wait_ticket(ticket, seconds)

    def close(self) -> None:
        super().close()
        self._streams.close()
