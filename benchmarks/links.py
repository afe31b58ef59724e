"""Two hosts on one machine: network namespaces joined by a virtual cable, as fast as the kernel goes or held to a rate.

Needs root, and the commands `ip` and `tc` (iproute2).
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

LINK = "link0"  # the cable's name in both hosts
BURST, LATENCY = "256kb", "20ms"  # of the token bucket that shapes the link


class Host(NamedTuple):
    """One end of the cable: `command` runs another command there."""

    command: list[str]
    address: str


@contextlib.contextmanager
def two_hosts(rate: str | None = None) -> Iterator[list[Host]]:
    """Two hosts until the block ends. rate: of the link in each direction as `tc` writes it ("1gbit"), or None."""
    names = [f"dtbench{os.getpid()}{side}" for side in "ab"]
    hosts = [Host(["ip", "netns", "exec", name], f"10.203.0.{i + 1}") for i, name in enumerate(names)]
    try:
        for name in names:
            _do("ip", "netns", "add", name)
        _do("ip", "link", "add", LINK, "netns", names[0], "type", "veth", "peer", "name", LINK, "netns", names[1])
        for name, host in zip(names, hosts, strict=True):
            _do("ip", "-n", name, "address", "add", f"{host.address}/24", "dev", LINK)
            for device in ("lo", LINK):
                _do("ip", "-n", name, "link", "set", device, "up")
            if rate is not None:
                shape = ["root", "tbf", "rate", rate, "burst", BURST, "latency", LATENCY]
                _do(*host.command, "tc", "qdisc", "add", "dev", LINK, *shape)
        yield hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)


def _do(*command: str) -> None:
    subprocess.run(command, check=True)
