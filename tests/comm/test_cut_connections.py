"""One connection between two ranks is cut, and heartbeats go on another way: both ends say so, soon.

Hosts are network namespaces on either side of a third, which forwards what they send, like a firewall.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from disttorch.comm.errors import departed, last_words
from disttorch.comm.streams import ARRAYS, MESSAGES
from disttorch.comm.testing import run_ranks

from disttorch import comm
from namespaces import namespaces, sh

HOSTS = ("10.211.1.2", "10.211.2.2")
SILENCE = 4.0  # seconds: the heartbeat limit
SECRETS = {"open": None, "encrypted": "s" * 32}
LATE = 20.0  # seconds: what only a deadline of the group's, which is longer, would end

RANK = """
import json, os, sys, time
import numpy as np
from disttorch import comm
rank, address, act = int(sys.argv[1]), sys.argv[2], sys.argv[3]
server = comm.StoreServer("0.0.0.0", 29566) if rank == 0 else None
store = comm.StoreClient(address, 29566, timeout=20)
group = comm.connect(store, rank, 2, timeout=60, heartbeat_limit=4.0)
total, one = np.ones(3_000_000, np.float32), np.ones(1)
if act == "join":
    group = group.split([0, 1])
else:
    for array in (total, one):
        group.all_reduce(array)
        work = group.irecv(array, 1 - rank)
        group.send(array, 1 - rank)
        work.wait()
mails = {"messages": group._p2p.mailbox.mail, "collectives": group._engine.mailbox.mail}
print(json.dumps({name: int(mail.address.rpartition(":")[2]) for name, mail in mails.items()}), flush=True)
sys.stdin.readline()
began, error = time.monotonic(), None
try:
    if act == "receive":
        group.irecv(one, 1 - rank).wait(50.0)  # both wait; without a limit that would be a deadlock
    elif act == "send" and rank == 1:
        time.sleep(SLEEP)
        group.recv(total, 0)
    elif act == "send":
        group.send(np.ones(20_000_000, np.float32), 1)
    elif act == "late":
        time.sleep(SLEEP * rank)
        group.all_reduce(np.ones(20_000_000, np.float32))
    else:
        while True:
            group.all_reduce(total)
except comm.CommError as caught:
    error = caught
print(json.dumps([type(error).__name__, getattr(error, "rank", None), str(error), time.monotonic() - began]))
group.close()
store.close()
if server:
    time.sleep(1.0)
    server.close()
""".replace("SLEEP", str(SILENCE + 2))


@pytest.fixture
def spaces():
    """Two hosts' namespaces and the one between them."""
    with namespaces("abr") as names:
        router, tag = names[2], names[2][2:-1]
        if sh("ip", "netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward").returncode:
            pytest.skip("this system lets no namespace forward")
        for number, (name, address) in enumerate(zip(names, HOSTS, strict=False), 1):
            cable = ["link", "add", f"v{tag}{number}", "netns", name, "type", "veth", "peer", f"w{tag}{number}"]
            if sh("ip", *cable, "netns", router).returncode:
                pytest.skip("this kernel has no veth")
            for space, link, own in ((name, f"v{tag}{number}", address), (router, f"w{tag}{number}", gateway(address))):
                sh("ip", "-n", space, "addr", "add", f"{own}/24", "dev", link)
                sh("ip", "-n", space, "link", "set", link, "up")
            sh("ip", "-n", name, "route", "add", "default", "via", gateway(address))
        yield names


def gateway(address):
    return address.rpartition(".")[0] + ".1"


def drop(spaces, port):
    """Let nothing pass any more to and from this port, in silence."""
    for end in ("sport", "dport"):
        done = sh("ip", "-n", spaces[2], "rule", "add", "pref", "1", "ipproto", "tcp", end, str(port), "blackhole")
        if done.returncode:
            pytest.skip("this kernel has no rules for ports")


def reset(spaces, port):
    """End all connections to this port."""
    done = sh("ip", "netns", "exec", spaces[0], "ss", "-K", "-tnH", "dport", "=", str(port))
    if not done.stdout:
        pytest.skip("this kernel cannot end connections")


@pytest.fixture
def job(spaces):
    """Starts rank 0 on the first host and rank 1 on the second one; ends what is left of them."""
    ranks = []

    def start(act, secret):
        open_too = {"DISTTORCH_JOB_SECRET": secret or "", "DISTTORCH_INSECURE": str(int(secret is None))}
        for rank in range(2):
            command = ["ip", "netns", "exec", spaces[rank], sys.executable, "-W", "ignore", "-c", RANK]
            ranks.append(
                subprocess.Popen(
                    [*command, str(rank), HOSTS[0], act], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, env={**os.environ, **open_too},
                )
            )  # fmt: skip
        return ranks, [json.loads(rank.stdout.readline()) for rank in ranks]

    yield start
    for rank in ranks:
        rank.kill()
        rank.communicate()


def finish(ranks):
    """What each rank says at its end, once it has been told to go on."""
    for rank in ranks:
        rank.stdin.write("\n")
        rank.stdin.flush()
    outs = [rank.communicate(timeout=90)[0] for rank in ranks]
    assert [out.count("\n") for out in outs] == [1, 1], "\n".join(outs)
    return [json.loads(out) for out in outs]


def check(ends, use, limit):
    for rank, (name, lost, text, seconds) in enumerate(ends):
        assert (name, lost) == ("PeerLost", 1 - rank), (rank, text)
        assert re.search(r"the connection between rank 0 on host \S+ and rank 1 on host \S+ ", text), text
        assert use in text, text
        assert seconds < limit, text


CASES = [("on", "collectives"), ("receive", "messages")]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in (("receive", "collectives"), ("send", "messages"))]


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(("act", "mail"), CASES)
@pytest.mark.parametrize("cut", [reset, drop])
def test_one_connection_is_cut(spaces, job, cut, act, mail, secret):
    """The one of `mail` over which rank 0 sends to rank 1: a wait for it or another one ends on both sides."""
    ranks, ports = job(act, secret)
    cut(spaces, ports[1][mail])
    check(finish(ranks), "", LATE)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_port_that_is_never_reached(spaces, job, secret):
    ranks, ports = job("join", secret)
    drop(spaces, ports[1]["collectives"])
    check(finish(ranks), "was not answered", LATE)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_who_comes_late_is_not_lost(job, secret):
    """Rank 1 takes nothing in for longer than the heartbeat limit, while rank 0 sends more than the kernels hold."""
    ranks, _ = job("late", secret)
    assert [name for name, *_ in finish(ranks)] == ["NoneType"] * 2


def loses_one(group, mail, use, end, inner):
    """Rank 1 ends the connection over which it sends to rank 0, or rank 0 does; then both wait for each other."""
    if inner:
        group = group.split([2, 1, 0])  # two others' numbers
    long, short = np.ones(STREAM), np.ones(1)
    peer = 1 - group.rank
    for array in (long, short):
        group.all_reduce(array)
        if group.rank < 2:
            work = group.irecv(array, peer)
            group.send(array, peer)
            work.wait()
    group.barrier()
    chosen = {"messages": group._p2p.mailbox.mail, "collectives": group._engine.mailbox.mail}[mail]
    if group.rank == 1 and end == "sender":
        chosen._outgoing[0, use].sock.shutdown(socket.SHUT_RDWR)
    elif group.rank == 0 and end == "receiver":
        inboxes = (inbox.sock for inbox in chosen._inboxes.values() if inbox.peer == 1)
        (next(inboxes) if use == MESSAGES else chosen._streams[1]).shutdown(socket.SHUT_RDWR)
    began = time.monotonic()
    try:
        while mail == "messages" and group.rank < 2:
            if group.rank == 1:
                group.isend(long, 0)
            group.recv(long, peer)
        while True:
            group.all_reduce(long)
    except comm.CommError as error:
        return type(error).__name__, getattr(error, "rank", None), str(error), time.monotonic() - began


STREAM = 300_000  # numbers, which go by the stream for arrays


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("end", ["sender", "receiver"])
@pytest.mark.parametrize("use", [MESSAGES, ARRAYS])
@pytest.mark.parametrize("mail", ["messages", "collectives"])
def test_a_connection_that_ends_under_a_group(mail, use, end, inner):
    """The third rank hears of it, too. Errors number the ranks as the job does."""
    results = run_ranks(3, loses_one, "tcp", args=(mail, use, end, inner), timeout=40)
    pair = [2, 1] if inner else [0, 1]
    for rank, (name, lost, text, seconds) in enumerate(results):
        assert name == "PeerLost", text
        assert lost in pair, text
        assert lost != rank, text
        assert f"the connection between rank {min(pair)} on host " in text
        assert seconds < LATE


def leaves_early(group):
    """Rank 1 leaves an inner group while rank 0, which has never sent to it there, looks at nothing."""
    inner = group.split([0, 1])
    if group.rank == 1:
        inner.isend(np.ones(STREAM), 0)
        inner.close()
    time.sleep(2.5)  # longer than a farewell may be late
    for _ in range(3):
        group.barrier()
        time.sleep(0.3)


def test_who_leaves_is_not_lost():
    run_ranks(2, leaves_early, "tcp")


def test_the_last_words_of_a_rank_that_has_lost_this_one():
    words = last_words(comm.PeerLost(1, "host1", 0.0, "", "the connection between ranks 0 and 1 failed", 0))
    assert departed(3, words, here=2).rank == 1
    error = departed(3, words, here=1)
    assert (error.rank, error.reason[-6:]) == (0, "failed")
