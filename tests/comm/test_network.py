"""Hosts that are network namespaces joined by a virtual cable: real addresses, encryption, a cut link."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from disttorch.comm.interfaces import own_address, wanted_interface

from disttorch import comm
from namespaces import namespaces, sh

NAMES = ["lo", "eth0", "eth1", "ib0", "docker0"]


@pytest.mark.parametrize(
    ("variable", "spec", "wanted"),
    [
        ("GLOO", "eth1", "eth1"),
        ("GLOO", "ib0,eth1", "ib0"),
        ("NCCL", "eth", "eth0"),
        ("NCCL", "=eth1", "eth1"),
        ("NCCL", "^docker,eth", "ib0"),
        ("NCCL", "^=eth0", "eth1"),
    ],
)
def test_wanted_interface(variable, spec, wanted):
    assert wanted_interface(NAMES, {f"{variable}_SOCKET_IFNAME": spec}) == wanted


def test_interface_errors(monkeypatch):
    assert wanted_interface(NAMES, {}) is None
    with pytest.raises(comm.CommError, match="no network interface matches 'eth'; there are lo, eth0"):
        wanted_interface(NAMES, {"GLOO_SOCKET_IFNAME": "eth"})
    with pytest.raises(comm.CommError, match=r"no network interface leads to the store at 255\.255\.255\.255: "):
        own_address("255.255.255.255")  # to which the kernel refuses to connect
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    assert own_address(None) == "127.0.0.1"


CABLE = """
import sys
sys.path.insert(0, sys.argv[1])
from links import two_hosts
with two_hosts() as hosts:
    print(hosts[0].command[-1], hosts[1].command[-1], flush=True)
    sys.stdin.read()
"""


def test_a_killed_benchmark_leaves_no_hosts():
    """SIGTERM: it removes its namespaces; SIGKILL: the next one does."""
    with namespaces("a"):
        pass  # they can be made here
    benchmarks = str(Path(__file__).parents[2] / "benchmarks")
    command = [sys.executable, "-c", CABLE, benchmarks]
    made = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            names = process.stdout.readline().split()
            process.send_signal(number)
        made += names
        listed = sh("ip", "netns", "list").stdout
        assert [name in listed for name in names] == [number == signal.SIGKILL] * 2
    assert [name for name in made if name in listed] == []


RANK = """
import os, sys, time
import numpy as np
from disttorch import comm
rank, n, host, port = (int(v) if v.isdigit() else v for v in sys.argv[1:5])
server = comm.StoreServer("0.0.0.0", port) if rank == 0 else None
store = comm.StoreClient(host, port, timeout=20)
group = comm.connect(store, rank, n, timeout=30, heartbeat_limit=2.0)
for size in (10, 100_000, 3_000_000):
    total = np.full(size, rank + 1.0, np.float32)
    group.all_reduce(total)
    assert (total == n * (n + 1) / 2).all()
    work = group.irecv(total, rank ^ 1)
    group.send(np.full(size, rank, np.float32), rank ^ 1)
    work.wait()
    assert (total == rank ^ 1).all()
mail = (group._engine.everyone if hasattr(group._engine, "everyone") else group._engine).mailbox.mail
print(f"rank {rank} sums over {group.kind} as {type(group._engine).__name__}, reached at {mail.address}", flush=True)
print(type(mail).__name__, flush=True)
if len(sys.argv) > 5:
    try:
        while sys.argv[5] == "on":
            group.all_reduce(total)
        group.recv(total, rank ^ 1)
    except comm.CommError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
group.close()
store.close()
if server:
    time.sleep(1.0)
    server.close()
"""


@pytest.fixture
def hosts():
    """Two namespaces with addresses 10.200.0.1 and .2, joined by a veth pair."""
    with namespaces("ab") as spaces:
        links = [f"v{space}" for space in spaces]
        if sh(
            "ip", "link", "add", links[0], "netns", spaces[0], "type", "veth", "peer", links[1], "netns", spaces[1]
        ).returncode:
            pytest.skip("this kernel has no veth")
        for index, (space, link) in enumerate(zip(spaces, links, strict=True)):
            sh("ip", "-n", space, "addr", "add", f"10.200.0.{index + 1}/24", "dev", link)
            sh("ip", "-n", space, "link", "set", link, "up")
        yield list(zip(spaces, links, strict=True))


def start(hosts, places, *more, secret="s" * 32):
    """Start one rank per entry of `places`, an index of a host. secret: the job's; None: they agree to do without."""
    environment = {**os.environ, "DISTTORCH_JOB_SECRET": secret or "", "DISTTORCH_INSECURE": str(int(secret is None))}
    environment["PYTHONWARNINGS"] = "ignore"  # of doing without
    size = str(len(places))
    inside = [["ip", "netns", "exec", hosts[place][0], sys.executable, "-c", RANK] for place in places]
    return [
        subprocess.Popen(
            [*command, str(rank), size, "10.200.0.1", "29555", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for rank, command in enumerate(inside)
    ]


def finish(ranks):
    try:
        return [rank.communicate(timeout=45)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
            rank.stdout.close()


@pytest.mark.parametrize("secret", ["s" * 32, None], ids=["encrypted", "open"])
@pytest.mark.parametrize("places", [[0, 1], [0, 0, 1, 1]])
def test_two_hosts(hosts, places, secret):
    outs = finish(start(hosts, places, secret=secret))
    for rank, (out, place) in enumerate(zip(outs, places, strict=True)):
        engine = "MessageEngine" if len(places) == 2 else "HierarchicalEngine"
        assert f"rank {rank} sums over tcp as {engine}, reached at tcp://10.200.0.{place + 1}:" in out, out
        assert f"\n{'TcpMail' if secret is None else 'ZmqMail'}\n" in out, out


def test_no_secret_no_network(hosts):
    ranks = start(hosts, [0], secret="")
    assert "SecurityError" in finish(ranks)[0]


@pytest.mark.parametrize("act", ["on", "receive"])
@pytest.mark.parametrize("secret", ["s" * 32, None], ids=["encrypted", "open"])
def test_cut_link(hosts, secret, act):
    ranks = start(hosts, [0, 1], act, secret=secret)
    try:
        first = [rank.stdout.readline() for rank in ranks]
        sh("ip", "-n", hosts[1][0], "link", "set", hosts[1][1], "down")
    finally:
        outs = finish(ranks)
    assert all("sums over tcp" in line for line in first), (first, outs)
    assert "PeerLost: rank 1 on host" in outs[0], outs[0]
    assert "PeerLost: rank 0 on host" in outs[1], outs[1]
