"""How the nodes of a job meet: through the store that node 0's launcher serves, and that the workers use as well."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from disttorch.comm import StoreClient, StoreError, StoreServer, StoreTimeout, new_secret
from disttorch.comm.liveness import forget_deaths, heartbeat_limit, notify_death
from disttorch.comm.security import SECRET_VARIABLE, is_loopback

from .clock import monotonic, sleep
from .config import LaunchConfig
from .errors import RendezvousError, UsageError
from .failure import Failure
from .secret import find_secret, given_secret, key_file, leave_secret, require_secret
from .worker import Place

LEAVE_TIMEOUT = 5.0  # seconds that a node may take to tell how it ended, beyond the time to stop its workers
REACTION = 0.25  # seconds before the limit of heartbeats at which a silent node is given up; workers say so before
TRY = 0.5  # seconds of one attempt at what another node may not be ready for
ANSWER = 6.0  # seconds that node 0's port may be taken by what does not answer until it counts as another program's

T = TypeVar("T")


class Interrupted(Exception):
    """A signal came while waiting for other nodes."""


class Rendezvous:
    """This node's meeting with the others; a job of one node has no others.

    `interrupted` is asked during every wait, which then ends with Interrupted. Every method raises RendezvousError
    where nodes do not come in time or the one that serves the store is lost.
    """

    def __init__(self, config: LaunchConfig, interrupted: Callable[[], bool]) -> None:
        self._config = config
        self._interrupted = interrupted
        self._server: StoreServer | None = None
        self._client: StoreClient | None = None
        self._port = config.master_port
        self._attempt = 0
        self._beats: dict[int, tuple[bytes, float]] = {}  # by node: its last sign of life, and when that was new
        self._beat = 0
        self._patience = heartbeat_limit() - REACTION  # seconds of silence after which a node is lost
        self._together = False  # with other nodes, none of which has been lost
        self._loopback = is_loopback(config.master_addr)
        self.key_file: Path | None = None  # that this node leaves for the others of its machine
        self.secret = given_secret()
        self.node_rank = config.node_rank or 0
        self.nnodes = config.nnodes

    def open(self) -> None:
        """Serve the store, or find the node that does. Raises UsageError for an address or port it cannot have."""
        config = self._config
        if not self._loopback:
            _check_resolves(config.master_addr)
        require_secret(config.nnodes, self._loopback)
        if config.node_rank == 0:
            self._serve()
        else:
            self._meet(may_serve=config.node_rank is None and _is_here(config.master_addr))
        if config.node_rank is None:
            self.node_rank = self.ask(lambda store: store.add("launcher/arrivals", 1)) - 1
            if self.node_rank >= config.nnodes:
                raise RendezvousError(f"all {config.nnodes} nodes (--nnodes) have joined already")

    def join(self, attempt: int) -> Place:
        """Wait for all nodes, and learn this one's place among them."""
        config = self._config
        self._attempt, self._beats = attempt, {}
        if self.node_rank == 0:
            self.ask(forget_deaths)
        workers = [config.nproc_per_node]
        if config.nnodes > 1:
            host = config.local_addr or socket.gethostname()
            mine = json.dumps({"nproc": config.nproc_per_node, "host": host, "pid": os.getpid()}).encode()
            name = self._key(f"node/{self.node_rank}")
            there = self.ask(lambda store: store.compare_set(name, b"", mine))
            if there != mine:
                raise UsageError(
                    f"--node-rank {self.node_rank} is taken by another launcher on {json.loads(there)['host']}"
                )
            workers = [json.loads(node)["nproc"] for node in self._gather("node", config.join_timeout, "did not join")]
            self._together = True
        return Place(
            node_rank=self.node_rank,
            first_rank=sum(workers[: self.node_rank]),
            world_size=sum(workers),
            master_addr=config.master_addr,
            master_port=self._port,
            attempt=attempt,
        )

    def waiting_for(self, seconds: float, what: str) -> Callable[[str], bytes]:
        """A function that waits for a key of the store; RendezvousError, saying `what`, after so many seconds."""

        def wait(key: str) -> bytes:
            limit = monotonic() + seconds
            while True:
                self._stop_if_interrupted()
                try:
                    return self.ask(lambda store: store.get(key, TRY))
                except StoreTimeout:
                    if monotonic() > limit:
                        raise RendezvousError(f"another node {what} within {seconds:g} s") from None

        return wait

    def announce(self, failure: Failure) -> None:
        """Tell the other nodes, and every worker that waits for the dead one."""
        cause = f" ({failure.raised.headline})" if failure.raised else ""
        self.ask(lambda store: notify_death(store, failure.rank, f"it {failure.how}{cause}"))
        self.ask(lambda store: store.set(self._key("failed"), b"1"))

    def tell_stopped_worker(self, rank: int, seconds: float) -> None:
        """Tell every worker that waits for one which a signal has stopped that it waits in vain."""
        self.ask(lambda store: notify_death(store, rank, f"it has been stopped by a signal for {seconds:.1f} s"))

    def others_failed(self) -> bool:
        """Give a sign of life and look at the other nodes: whether one of their workers has failed.

        Raises RendezvousError for a node that has been silent for too long, or was told to end the job.
        """
        others = [rank for rank in range(self._config.nnodes) if rank != self.node_rank]
        if not others:
            return False
        self._beat += 1
        self.ask(lambda store: store.set(f"launcher/beat/{self.node_rank}", str(self._beat).encode()))
        for rank in others:
            self._check_beat(rank)
        if self.ask(lambda store: store.check(["launcher/stopped"])):
            raise RendezvousError(self.ask(lambda store: store.get("launcher/stopped")).decode())
        return self.ask(lambda store: store.check([self._key("failed")]))

    def tell_end(self, failures: Sequence[Failure]) -> None:
        """Tell the other nodes that all workers here have ended, and how."""
        if self._config.nnodes > 1:
            own = json.dumps([failure.to_bytes().decode() for failure in failures]).encode()
            self.ask(lambda store: store.set(self._key(f"ended/{self.node_rank}"), own))

    def all_ended(self) -> bool:
        """Whether the workers of all nodes have ended."""
        names = [self._key(f"ended/{rank}") for rank in range(self._config.nnodes)]
        return self._config.nnodes == 1 or self.ask(lambda store: store.check(names))

    def failures(self, own: Sequence[Failure]) -> list[Failure]:
        """The failures of all nodes, once all have ended."""
        if self._config.nnodes == 1:
            return list(own)
        ends = self._gather("ended", self._config.shutdown_timeout + LEAVE_TIMEOUT, "did not stop")
        return [Failure.from_bytes(text.encode()) for end in ends for text in json.loads(end)]

    def tell_stopped(self, why: str) -> None:
        """Tell the other nodes that this one ends the job."""
        if self._together:
            self.ask(lambda store: store.set("launcher/stopped", f"node {self.node_rank} was {why}".encode()))

    def close(self) -> None:
        """Leave. The node that serves the store lets the others go first."""
        try:
            if self._together:
                self.ask(lambda store: store.set(self._key(f"left/{self.node_rank}"), b"1"))
                if self._server:
                    self._gather("left", LEAVE_TIMEOUT, "did not leave", patient=True)
        except RendezvousError:
            return  # a node that was lost cannot take its leave; why the job ended has been said
        finally:
            if self._client:
                self._client.close()
            if self._server:
                self._server.close()
            if self.key_file:
                self.key_file.unlink()

    def _serve(self) -> None:
        config = self._config
        host = config.master_addr if self._loopback else "::" if ":" in config.master_addr else "0.0.0.0"
        fresh = "" if self.secret else new_secret()
        try:
            self._server = StoreServer(host, config.master_port, secret=(self.secret or fresh).encode())
        except StoreError as error:
            reason = str(error).rpartition(": ")[2].partition(" (")[0]
            raise UsageError(
                f"--master-port {config.master_port} on {config.master_addr} cannot be had: {reason} "
                "(choose another; a job of one node may leave it out)"
            ) from None
        self._port = self._server.port
        self.secret = self.secret or fresh
        if config.nnodes > 1 and not given_secret():
            self.key_file = key_file(self._port)
            leave_secret(self.key_file, self.secret)

    def _meet(self, may_serve: bool) -> None:
        """Find the store of a launcher that may start later than this one; where one may, serve it if nobody does.

        Both are tried until one of them works: of two that bind a port in the same microsecond, both may be refused.
        """
        host, port, seconds = self._config.master_addr, self._port, self._config.join_timeout
        limit = monotonic() + seconds
        taken = 0.0  # since when the port is, and not by node 0
        while monotonic() < limit:
            self._stop_if_interrupted()
            refusal: UsageError | None = None
            if may_serve:
                try:
                    return self._serve()
                except UsageError as error:
                    refusal = error
            if self._connect():
                return
            listens = _listens(host, port)
            taken = (taken or monotonic()) if listens or refusal else 0.0
            if taken and monotonic() - taken > ANSWER:
                raise self._stranger() if listens or refusal is None else refusal
        raise RendezvousError(
            f"node 0 did not answer at {host}:{port} within {seconds:g} s (--master-addr, --master-port; does it run?)"
        )

    def _connect(self) -> bool:
        """Try to reach the store that another launcher serves."""
        secret = given_secret() or (find_secret(key_file(self._port)) if self._loopback else None)
        if secret is None:
            sleep(TRY / 10)
            return False
        try:
            self._client = StoreClient(self._config.master_addr, self._port, TRY, secret=secret.encode())
        except StoreTimeout:
            return False
        self._client.patience = self._patience
        self.secret = secret
        return True

    def _stranger(self) -> RendezvousError:
        where = f"{self._config.master_addr}:{self._port} (--master-addr, --master-port)"
        if given_secret():
            return RendezvousError(
                f"what listens at {where} does not accept this machine's {SECRET_VARIABLE}: is it the same on node 0?"
            )
        return RendezvousError(f"what listens at {where} is no launcher of this user's: choose another port")

    def ask(self, request: Callable[[StoreClient], T]) -> T:
        """One request to the store; the node that serves it asks itself."""
        host, port = ("localhost" if self._server else self._config.master_addr), self._port
        try:
            if self._client is None:
                own = "::1" if ":" in self._config.master_addr else "127.0.0.1"
                address = self._config.master_addr if self._loopback else own
                self._client = StoreClient(address, port, self._patience, secret=self.secret.encode())
            return request(self._client)
        except StoreTimeout as error:
            if error.missing:
                raise  # the store answers, the keys are not there
            raise self._lose(f"node 0's launcher at {host}:{port} no longer answers") from None

    def _gather(self, kind: str, seconds: float, what: str, patient: bool = False) -> list[bytes]:
        """The value that every node sets, in their order. `patient`: whatever signals come."""
        limit = monotonic() + seconds
        names = [self._key(f"{kind}/{rank}") for rank in range(self._config.nnodes)]
        while True:
            if not patient:
                self._stop_if_interrupted()
            try:
                return self.ask(lambda store: store.multi_get(names, TRY))
            except StoreTimeout as error:
                if monotonic() > limit:
                    missing = ", ".join(str(name).rpartition("/")[2] for name in error.missing)
                    raise self._lose(f"node(s) {missing} {what} within {seconds:g} s") from None

    def _check_beat(self, rank: int) -> None:
        """Raise RendezvousError once a node that has not ended shows no sign of life."""
        name = f"launcher/beat/{rank}"
        alive = self.ask(lambda store: store.compare_set(name, b"", b"0"))
        if self._beats.get(rank, (b"", 0.0))[0] != alive:
            self._beats[rank] = alive, monotonic()
        silent = monotonic() - self._beats[rank][1]
        if silent > self._patience and not self.ask(lambda store: store.check([self._key(f"ended/{rank}")])):
            raise self._lose(f"node {rank} is lost: its launcher has been silent for {silent:.1f} s")

    def _lose(self, why: str) -> RendezvousError:
        self._together = False
        return RendezvousError(why)

    def _stop_if_interrupted(self) -> None:
        if self._interrupted():
            raise Interrupted

    def _key(self, name: str) -> str:
        return f"launcher/{self._attempt}/{name}"


def _check_resolves(host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise UsageError(f"--master-addr {host} cannot be found: {error.strerror}") from None


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), TRY):
            return True
    except OSError:
        return False


def _is_here(host: str) -> bool:
    """Whether `host` is an address of this machine."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as trial, suppress(OSError):  # it is another machine's
            trial.bind(address)
            return True
    return False
