"""The key-value stores under PyTorch's names and signatures."""

import socket
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from weakref import WeakValueDictionary

from ..comm import FileStore, HashStore, PrefixStore, Store, StoreClient, StoreServer, StoreTimeout

__all__ = ["FileStore", "HashStore", "PrefixStore", "Store", "TCPStore"]

LOOK = 0.01  # seconds between two looks of a master at who has connected
_servers: WeakValueDictionary[int, StoreServer] = WeakValueDictionary()  # by port: what several tenants may share


def _check_name(host: str, port: int, limit: float) -> None:
    """StoreTimeout, as a client would get it, for a host whose name nobody knows."""
    try:
        socket.getaddrinfo(None if host in ("", "*") else host, port)
    except OSError as error:
        raise StoreTimeout(
            f"The client socket has timed out after {1000 * limit:.0f}ms while trying to connect to ({host}, {port}): "
            f"{error}",
            limit,
        ) from None


class TCPStore(StoreClient):
    """A store at host_name:port, served by the process that says `is_master=True`.

    `port` 0 lets the master choose one (read it from `.port`); `timeout` bounds every wait; with `wait_for_workers` the
    master's constructor returns when `world_size` processes, itself included, have connected. `multi_tenant`: several
    masters of this process share one server. The server ends with the store that has started it.
    """

    def __init__(
        self,
        host_name: str,
        port: int,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: timedelta | float = timedelta(seconds=300),
        wait_for_workers: bool = True,
        multi_tenant: bool = False,
        master_listen_fd: int | None = None,
        use_libuv: bool = True,
    ):
        limit = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
        if master_listen_fd is not None:
            raise NotImplementedError("TCPStore cannot take over a listening socket: leave master_listen_fd None")
        self.libuvBackend = use_libuv  # as asked for: there is one server here, and it is ZeroMQ's
        self._server = _servers.get(port) if is_master and multi_tenant else None
        if is_master and self._server is None:
            _check_name(host_name, port, limit)
            self._server = StoreServer(host_name, port)
            _servers[self._server.port] = self._server
        super().__init__(host_name, self._server.port if self._server else port, limit)
        if wait_for_workers and world_size:
            self._meet(world_size, limit if is_master else 0.0)

    @property
    def serves(self) -> bool:
        """Whether this process serves the store."""
        return self._server is not None

    def _meet(self, world_size: int, limit: float) -> None:
        end = time.monotonic() + limit
        there = self.add("init/", 1)
        while limit and there < world_size:
            if time.monotonic() > end:
                text = f"Timed out after {limit:g} seconds waiting for clients. {there}/{world_size} clients joined."
                raise StoreTimeout(text, limit)
            time.sleep(LOOK)
            there = self.add("init/", 0)

    def close(self) -> None:
        super().close()
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:  # a late one finds no globals
        if not is_finalizing() and "_closed" in self.__dict__:
            self.close()
