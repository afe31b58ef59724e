import os

import pytest

from disttorch import cores
from disttorch.kernels import threads


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 8 cores, 6 of which are this process's; gives where its cgroups are mounted, empty at first."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    own, mount = tmp_path / "own", tmp_path / "mount"
    monkeypatch.setattr(cores, "quotas", lambda read=cores.quotas: read(own, mount))
    own.write_text("0::/\n")
    mount.mkdir()
    return mount


def test_without_quotas(machine):
    assert (cores.on_machine(), cores.bound(), cores.available()) == (8, 6, 6)


def test_where_there_are_no_cgroups(machine):
    (machine.parent / "own").unlink()
    assert cores.available() == 6


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 6), ("200000 100000", 2), ("50000 100000", 1), ("900000 100000", 6)]
)
def test_a_container(machine, quota, expected):
    write(machine, cpu__max=quota)
    assert cores.available() == expected
    assert cores.bound() == 6


def test_it_limits_the_machine_too(machine):
    write(machine, cpu__max="700000 100000")
    assert (cores.on_machine(), cores.available()) == (7, 6)


def test_the_least_of_all_groups_around(machine):
    (machine.parent / "own").write_text("0::/jobs/one\n")
    write(machine / "jobs", cpu__max="300000 100000")
    write(machine / "jobs" / "one", cpu__max="max 100000")
    write(machine / "other", cpu__max="100000 100000")
    assert cores.available() == 3


def test_a_container_whose_group_is_named_as_outside(machine):
    (machine.parent / "own").write_text("0::/docker/1234\n")
    write(machine, cpu__max="400000 100000")
    assert cores.available() == 4


@pytest.mark.parametrize(("quota", "expected"), [(-1, 6), (200000, 2)])
def test_the_older_kind_of_cgroups(machine, quota, expected):
    (machine.parent / "own").write_text("3:cpuset:/other\n2:cpu,cpuacct:/job\n0::/\n")
    write(machine / "cpu" / "job", cpu__cfs_quota_us=quota, cpu__cfs_period_us=100000)
    write(machine / "cpu" / "other", cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
    assert cores.available() == expected


def test_as_many_threads(machine, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    write(machine, cpu__max="300000 100000")
    assert threads._initial_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads._initial_count() == 5


def test_this_machine():
    assert 1 <= cores.available() <= cores.bound()
    assert cores.available() <= cores.on_machine()
