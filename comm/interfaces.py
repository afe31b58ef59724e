"""The network address a rank is reached at: the interface that leads to the store, or the one a variable names."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Mapping, Sequence

from .errors import CommError

_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface, see netdevice(7)


def wanted_interface(names: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The first of the interfaces `names` that GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME asks for; None if unset.

    GLOO_SOCKET_IFNAME is a list of names, "eth0,eth1". NCCL_SOCKET_IFNAME is a list of prefixes, "eth,ib"; "=eth0"
    means exact names, "^docker" all but these prefixes, "^=lo" all but these names. Raises CommError if none matches.
    """
    spec = environment.get("GLOO_SOCKET_IFNAME")
    if spec:
        found = [name for part in spec.split(",") for name in names if name == part.strip()]
    else:
        spec = environment.get("NCCL_SOCKET_IFNAME")
        if not spec:
            return None
        rest = spec.removeprefix("^")
        parts = rest.removeprefix("=").split(",")
        exact, without = rest.startswith("="), spec.startswith("^")
        hits = [name for name in names if any(name == p if exact else name.startswith(p) for p in parts)]
        found = [name for name in names if name not in hits and name != "lo"] if without else hits
    if not found:
        raise CommError(f"no network interface matches {spec!r}; there are {', '.join(names)}")
    return found[0]


def own_address(target: str | None) -> str:
    """This host's address for its peers: that of the wanted interface, or of the one that leads to `target`.

    CommError if there is none.
    """
    name = wanted_interface([name for _, name in socket.if_nameindex()], os.environ)
    if name is not None:
        return address_of(name)
    if target is None:
        raise CommError("several hosts without a networked store: pass connect(..., address=...)")
    try:
        family, _, _, _, address = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)  # sends nothing; the kernel picks the interface
            return probe.getsockname()[0]
    except OSError as error:
        raise CommError(f"no network interface leads to the store at {target}: {error}") from None


def address_of(interface: str) -> str:
    """An interface's IPv4 address; CommError if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError as error:
            raise CommError(f"interface {interface} has no IPv4 address: {error}") from None
    return socket.inet_ntoa(answer[20:24])
