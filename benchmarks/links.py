"""Two hosts on one machine: network namespaces joined by a virtual cable, as fast as the kernel goes or held to a rate.

Needs root, and the commands `ip` and `tc` (iproute2).
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

SPACE = "dtbench"  # begins the namespaces' names; then come the process that made it, and the side
LINK = "link0"  # the cable's name in both hosts
BURST, LATENCY = "256kb", "20ms"  # of the token bucket that shapes the link


class Host(NamedTuple):
    """One end of the cable: `command` runs another command there."""

    command: list[str]
    address: str


@contextlib.contextmanager
def two_hosts(rate: str | None = None) -> Iterator[list[Host]]:
    """Two hosts until the block ends. rate: of the link in each direction as `tc` writes it ("1gbit"), or None.

    Call it from the main thread. The hosts go on SIGTERM and SIGHUP as well; what SIGKILL left, at the next call.
    """
    _remove_stale()
    names = [f"{SPACE}{os.getpid()}{side}" for side in "ab"]
    hosts = [Host(["ip", "netns", "exec", name], f"10.203.0.{i + 1}") for i, name in enumerate(names)]
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
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
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove_stale() -> None:
    """Remove the hosts whose process is no more."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name, pid in re.findall(rf"^({SPACE}(\d+)[ab])\b", listed, re.MULTILINE):
        if not os.path.exists(f"/proc/{pid}"):
            _do("ip", "netns", "delete", name)


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _do(*command: str) -> None:
    subprocess.run(command, check=True)
