"""How processes meet: the store that an init_method names (env://, tcp://, file://), with rank and world size."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import ParseResult, parse_qs, urlparse

from .process_group import seconds
from .stores import FileStore, TCPStore

Place = tuple[Any, int, int]  # store, rank, world size
_handlers: dict[str, Callable[..., Iterator[Place]]] = {}


def register_rendezvous_handler(scheme: str, handler: Callable[..., Iterator[Place]]) -> None:
    """Let `handler(url, **kwargs)`, a generator of (store, rank, world size), serve URLs of this scheme."""
    if scheme in _handlers:
        raise RuntimeError(f"Rendezvous handler for {scheme}:// already registered")
    _handlers[scheme] = handler


def rendezvous(url: str, rank: int = -1, world_size: int = -1, **kwargs: Any) -> Iterator[Place]:
    """A generator whose first item is (store, rank, world size) of the meeting that `url` names.

    timeout: timedelta or seconds. Raises RuntimeError for an unknown scheme, ValueError naming what is missing.
    """
    if not isinstance(url, str | bytes):
        raise RuntimeError(f"`url` must be a string. {type(url)}: {url}")
    for name, number in (("rank", rank), ("world_size", world_size)):
        if not isinstance(number, int):
            raise RuntimeError(f"`{name}` must be an integer. {number}")
    text = url if isinstance(url, str) else url.decode()
    parts = urlparse(text)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if (rank != -1 or world_size != -1) and {"rank", "world_size"} & query.keys():
        raise AssertionError(f"The url: {text} has node-specific arguments(rank, world_size) already.")
    if parts.scheme in _handlers:
        more = [f"{name}={n}" for name, n in (("rank", rank), ("world_size", world_size)) if n != -1]
        whole = parts._replace(query="&".join([part for part in (parts.query, *more) if part]))
        return _handlers[parts.scheme](whole.geturl(), **kwargs)
    if parts.scheme not in _OURS:
        raise RuntimeError(f"No rendezvous handler for {parts.scheme}://")
    rank, world_size = int(query.get("rank", rank)), int(query.get("world_size", world_size))
    return _OURS[parts.scheme](parts, rank, world_size, seconds(kwargs.get("timeout")))


def _need(there: bool, scheme: str, what: str) -> None:
    if not there:
        raise ValueError(f"Error initializing torch.distributed using {scheme}:// rendezvous: {what}")


def _tcp(url: ParseResult, rank: int, world_size: int, timeout: float) -> Iterator[Place]:
    _need(bool(url.port), "tcp", "port number missing")
    _need(rank >= 0, "tcp", "rank parameter missing")
    _need(world_size >= 0, "tcp", "world size parameter missing")
    host = url.hostname or "127.0.0.1"
    yield _tcp_store(host, url.port or 0, rank == 0 and not _launcher_serves(url.port), timeout), rank, world_size
    raise RuntimeError("Unable to perform re-rendezvous using tcp:// method")


def _file(url: ParseResult, rank: int, world_size: int, timeout: float) -> Iterator[Place]:
    _need(bool(url.path), "file", "path missing")
    _need(rank >= 0, "file", "rank parameter missing")
    _need(world_size >= 0, "file", "world size parameter missing")
    yield FileStore(url.path, world_size, timeout), rank, world_size
    raise RuntimeError("Unable to perform re-rendezvous using file:// method")


def _env(url: ParseResult, rank: int, world_size: int, timeout: float) -> Iterator[Place]:
    def variable(name: str) -> str:
        what = f"environment variable {name} expected, but not set (`disttorch run script.py` sets it)"
        _need(name in os.environ, "env", what)
        return os.environ[name]

    rank = int(variable("RANK")) if rank < 0 else rank
    world_size = int(variable("WORLD_SIZE")) if world_size < 0 else world_size
    host, port = variable("MASTER_ADDR"), int(variable("MASTER_PORT"))
    yield _tcp_store(host, port, rank == 0 and not _launcher_serves(port), timeout), rank, world_size
    raise RuntimeError("Unable to perform re-rendezvous using env:// method")


def _launcher_serves(port: int | None) -> bool:
    agent = os.environ.get("DISTTORCH_AGENT_PORT", os.environ.get("MASTER_PORT"))
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and agent == str(port)


def _tcp_store(host: str, port: int, serve: bool, timeout: float) -> TCPStore:
    wait = timedelta(seconds=timeout)
    return TCPStore(host, port, None, serve, wait, wait_for_workers=False, multi_tenant=True)


_OURS = {"tcp": _tcp, "file": _file, "env": _env}
