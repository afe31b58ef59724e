"""The key-value stores under PyTorch's names and signatures."""

from datetime import timedelta

from ..comm import FileStore, HashStore, PrefixStore, Store, StoreClient, StoreServer

__all__ = ["FileStore", "HashStore", "PrefixStore", "Store", "TCPStore"]


class TCPStore(StoreClient):
    """A store at host_name:port, served by the process that says `is_master=True`.

    `port` 0 lets the master choose one (read it from `.port`); `timeout` bounds every wait; with `wait_for_workers` the
    constructor returns when `world_size` processes have connected.
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
        self._server = StoreServer(host_name, port) if is_master else None
        super().__init__(host_name, self._server.port if self._server else port, limit)
        if wait_for_workers and world_size:
            arrived = self.add("tcpstore/arrived", 1)
            if arrived == world_size:
                self.set("tcpstore/complete", b"1")
            self.wait(["tcpstore/complete"])

    def close(self) -> None:
        super().close()
        if self._server is not None:
            self._server.close()
