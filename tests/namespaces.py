"""Network namespaces that stand for hosts. They need root and iproute2's `ip`; without, the test is skipped."""

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest


def sh(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


@contextlib.contextmanager
def namespaces(ends: str) -> Iterator[list[str]]:
    """A namespace for each letter of `ends`, which its name ends in, with its loopback up; gone when the block ends."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need iproute2")
    tag = uuid.uuid4().hex[:6]
    names = [f"dt{tag}{end}" for end in ends]
    try:
        for name in names:
            if sh("ip", "netns", "add", name).returncode:
                pytest.skip("network namespaces need root")
            sh("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            sh("ip", "netns", "del", name)
