"""Speed of collectives beside Gloo (PyTorch) and Open MPI (mpi4py), where installed.

    python benchmarks/collectives.py [--ranks 2] [--ops all_reduce] [--plain] [--json out.json]

Every peer runs in processes of its own, one peer after another in alternation, so that a busy machine hurts all alike.
Prints the median time, algorithm bandwidth S/t and bus bandwidth S/t * 2(n-1)/n (all_reduce) or S/t * (n-1)/n.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

SIZES = [1 << 10, 64 << 10, 1 << 20, 26_000_000 // 4096 * 4096, 105_000_000 // 4096 * 4096]  # bytes
OPS = ["all_reduce", "broadcast", "reduce", "all_gather", "reduce_scatter", "all_to_all"]
OPS += ["gather", "scatter", "barrier"]
ROUNDS = 3  # times each peer is started


def repeats(size: int) -> int:
    """How often to run an operation on `size` bytes: about a second's worth."""
    return int(min(2000, max(8, 1e9 / (size + 500_000))))


def measure(run, sync, count: int) -> float:
    """Median seconds of one call."""
    for _ in range(3 + count // 20):
        run()
    sync()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def operations(peer, size: int, n: int, rank: int):
    """The calls to time, by name; `peer` makes arrays and gives functions. `size`: bytes of the whole array."""
    whole = peer.make(size // 4)
    parts = [peer.make(max(size // 4 // n, 1)) for _ in range(n)]
    outs = [peer.make(max(size // 4 // n, 1)) for _ in range(n)]
    return {
        "all_reduce": lambda: peer.all_reduce(whole),
        "broadcast": lambda: peer.broadcast(whole),
        "reduce": lambda: peer.reduce(whole),
        "all_gather": lambda: peer.all_gather(outs, parts[0]),
        "reduce_scatter": lambda: peer.reduce_scatter(parts[0], outs),
        "all_to_all": lambda: peer.all_to_all(outs, parts),
        "gather": lambda: peer.gather(parts[0], outs if rank == 0 else None),
        "scatter": lambda: peer.scatter(parts[0], outs if rank == 0 else None),
        "barrier": peer.barrier,
    }


class Ours:
    """disttorch.comm."""

    def __init__(self, rank: int, n: int, port: int, kind: str):
        from disttorch import comm

        self.store = comm.StoreClient("127.0.0.1", port)
        group = self.group = comm.connect(self.store, rank, n, transport="tcp" if kind == "ours-tcp" else "auto")
        self.make = lambda count: np.ones(count, np.float32) if "plain" in kind else group.allocate(count)
        self.all_reduce, self.barrier, self.all_gather = group.all_reduce, group.barrier, group.all_gather
        self.reduce_scatter, self.all_to_all = group.reduce_scatter, group.all_to_all
        self.broadcast = lambda array: group.broadcast(array, 0)
        self.reduce = lambda array: group.reduce(array, 0)
        self.gather = lambda array, outs: group.gather(array, outs, 0)
        self.scatter = lambda array, parts: group.scatter(array, parts, 0)

    def close(self) -> None:
        self.group.close()
        self.store.close()


class Gloo:
    """torch.distributed."""

    def __init__(self, rank: int, n: int, port: int, kind: str):
        import torch
        import torch.distributed as dist

        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=n)
        self.make = lambda count: torch.ones(count)
        self.all_reduce, self.barrier, self.all_gather = dist.all_reduce, dist.barrier, dist.all_gather
        self.broadcast = lambda array: dist.broadcast(array, 0)
        self.reduce = lambda array: dist.reduce(array, 0)
        self.gather = lambda array, outs: dist.gather(array, outs, 0)
        self.scatter = lambda array, parts: dist.scatter(array, parts, 0)
        self.reduce_scatter, self.all_to_all = dist.reduce_scatter, dist.all_to_all
        self.close = dist.destroy_process_group


class Mpi:
    """mpi4py over whatever MPI it was built for."""

    def __init__(self, rank: int, n: int, port: int, kind: str):
        from mpi4py import MPI

        world = MPI.COMM_WORLD
        self.make = lambda count: np.ones(count, np.float32)
        self.all_reduce = lambda array: world.Allreduce(MPI.IN_PLACE, array)
        self.barrier = world.Barrier
        self.broadcast = lambda array: world.Bcast(array)
        into: dict[int, np.ndarray] = {}

        def scratch(like):
            return into.setdefault(like.size, np.empty(like.size * n, np.float32))

        self.reduce = lambda array: world.Reduce(array, scratch(array)[: array.size])
        self.all_gather = lambda outs, array: world.Allgather(array, scratch(array))
        self.reduce_scatter = lambda out, parts: world.Reduce_scatter_block(scratch(out), out)
        self.all_to_all = lambda outs, parts: world.Alltoall(scratch(parts[0]), scratch(parts[0])[::-1][::-1])
        self.gather = lambda array, outs: world.Gather(array, scratch(array))
        self.scatter = lambda array, parts: world.Scatter(scratch(array), array)
        self.close = lambda: None


PEERS = {"ours": Ours, "ours-plain": Ours, "ours-tcp": Ours, "gloo": Gloo, "mpi": Mpi}


def worker(kind: str, rank: int, n: int, port: int, ops: list[str], sizes: list[int]) -> None:
    """One rank of one peer; rank 0 prints its medians as JSON."""
    if kind == "mpi":
        from mpi4py import MPI

        rank, n = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size
    peer = PEERS[kind](rank, n, port, kind)
    found = {}
    for size in sizes:
        for name in ops:
            run = operations(peer, size, n, rank)[name]
            try:
                found[f"{name}/{size}"] = measure(run, peer.barrier, repeats(size))
            except RuntimeError as error:
                if kind != "gloo":
                    raise
                print(f"{name}: Gloo does not have it ({str(error)[:60]})", file=sys.stderr)
    peer.close()
    if rank == 0:
        print(json.dumps(found))


def start(kind: str, n: int, ops: list[str], sizes: list[int]) -> dict[str, float]:
    """Run one peer's ranks and return rank 0's medians."""
    arguments = [__file__, "--worker", kind, "--ops", ",".join(ops), "--sizes", ",".join(map(str, sizes))]
    if kind == "mpi":
        command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(n), sys.executable, *arguments]
        out = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
        return json.loads(out.splitlines()[-1])
    from disttorch import comm

    server = comm.StoreServer()
    port = server.port
    if kind == "gloo":
        server.close()  # its port is free again, for PyTorch's own store
    ranks = [
        subprocess.Popen(
            [sys.executable, *arguments, "--rank", str(rank), "--ranks", str(n), "--port", str(port)],
            stdout=subprocess.PIPE, text=True,
        )
        for rank in range(n)
    ]  # fmt: skip
    try:
        outs = [rank.communicate(timeout=600)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
        server.close()
    return json.loads(outs[0].splitlines()[-1])


def main() -> None:
    """Measure all peers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--ops", default="all_reduce")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--peers", default="ours,ours-plain,gloo,mpi")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    ops = OPS if options.ops == "all" else options.ops.split(",")
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.worker:
        worker(options.worker, options.rank, options.ranks, options.port, ops, sizes)
        return
    found = importlib.util.find_spec
    there = {"gloo": found("torch"), "mpi": found("mpi4py") and shutil.which("mpirun")}
    peers = [peer for peer in options.peers.split(",") if there.get(peer, True)]
    runs = [{peer: start(peer, options.ranks, ops, sizes) for peer in peers} for _ in range(options.rounds)]
    medians = {
        peer: {key: statistics.median(run[peer][key] for run in runs) for key in runs[0][peer]} for peer in peers
    }
    print(f"{options.ranks} ranks, float32, median of {options.rounds} runs; microseconds (bus GB/s)")
    print(f"{'':24}" + "".join(f"{peer:>20}" for peer in peers) + "   times faster than the others")
    n = options.ranks
    for name in ops:
        for size in sizes:
            key = f"{name}/{size}"
            factor = (2 if name == "all_reduce" else 1) * (n - 1) / n
            cells = [
                f"{medians[p][key] * 1e6:12.1f} ({size / medians[p][key] * factor / 1e9:4.1f})" if key in medians[p]
                else f"{'-':>20}" for p in peers
            ]  # fmt: skip
            ratios = [f"{medians[p][key] / medians['ours'][key]:6.2f}x {p}" for p in peers
                      if not p.startswith("ours") and key in medians[p] and "ours" in peers]  # fmt: skip
            print(f"{name:16}{size:>8}" + "".join(f"{cell:>20}" for cell in cells) + "  " + " ".join(ratios))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"ranks": n, "seconds": medians}, file, indent=1)


if __name__ == "__main__":
    main()
