"""How many cores there are to compute on: those of the machine or of a process, as far as its cgroups grant them time.

A container that may use two of 64 cores sees all of them, and 64 threads there wait for one another's share of the time
(`docker run --cpus=2`). cgroup v2 writes "<quota> <period>" in µs, or "max <period>", into `cpu.max`; v1 has a file for
each (Linux kernel, Documentation/admin-guide/cgroup-v2 and scheduler/sched-bwc).
"""

import os
from pathlib import Path

OWN, MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def on_machine() -> int:
    """Those of the machine, within this process's quota."""
    return _granted(os.cpu_count() or 1)


def bound() -> int:
    """Those that this process may run on: its affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available() -> int:
    """Those that this process may run on, within its quota."""
    return _granted(bound())


def _granted(cores: int) -> int:
    return max(1, min([cores, *map(round, quotas())]))


def quotas(own: Path = OWN, mount: Path = MOUNT) -> list[float]:
    """How many cores' time this process's cgroups grant, each that has a quota.

    own: the file that names them, a line "<number>:<controllers>:<path>" each; mount: where they are mounted.
    """
    if not own.exists():
        return []
    found = []
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            root = mount / "cpu" if controllers else mount
            folder = root / path.lstrip("/")  # in a container it may be named as outside, and its quota lie at the root
            found += [_quota(f) for f in (folder, *folder.parents) if f.is_relative_to(root)]
    return [cores for cores in found if cores is not None]


def _quota(folder: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        files = [folder / name for name in names]
        if all(file.is_file() for file in files):
            allowed, period = " ".join(file.read_text() for file in files).split()
            return int(allowed) / int(period) if allowed.isdecimal() else None  # else "max" or -1
    return None
