"""ProcessGroupGloo: a group made by hand, of the ranks that meet in a store, beside the default one or without it."""

import socket
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from ..comm.interfaces import address_of
from .hand_made import HandMadeGroup
from .process_group import DEFAULT_TIMEOUT, seconds

__all__ = ["ProcessGroupGloo"]


class _Device(NamedTuple):
    """A network address, at which other hosts reach this rank."""

    address: str


@dataclass
class _Options:
    """What groups can be set to: a timeout and addresses, of which the first counts; threads are ours to choose."""

    _timeout: timedelta | float = DEFAULT_TIMEOUT
    _devices: list[_Device] = field(default_factory=list)
    _threads: int = 2


class ProcessGroupGloo(HandMadeGroup):
    """ProcessGroupGloo(store, rank, size, timeout or options): a group of `size` ranks, who all make it. `store` is one
    that no other group has met in: wrap it in a PrefixStore. Collectives are its methods, and take it as `group`.
    """

    _Options = _Options

    def __init__(self, store: Any, rank: int, size: int, options: _Options | timedelta | float | None = None):
        chosen = options if isinstance(options, _Options) else _Options(seconds(options))
        address = chosen._devices[0].address if chosen._devices else None
        super().__init__("gloo", store, rank, size, seconds(chosen._timeout), address)

    @staticmethod
    def create_default_device(lazy_init: bool | None = None) -> _Device:
        """This host's address by its own name."""
        return create_device(hostname=socket.gethostname())


def create_device(hostname: str = "", interface: str = "", lazy_init: bool | None = None) -> _Device:
    """The address of a host's name or of a network interface. ValueError where neither is given."""
    if hostname:
        return _Device(socket.gethostbyname(hostname))
    if interface:
        return _Device(address_of(interface))
    raise ValueError("Specify either `hostname` or `interface` argument.")
