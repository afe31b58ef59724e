"""What DistributedDataParallel adds to a training step, beside PyTorch's DDP on Gloo.

    python benchmarks/ddp.py                               # LeNet and ResNet-34; 2 workers, 1 thread each
    python benchmarks/ddp.py lenet-64 --samples 15 --bucket-cap-mb 1 5 25 --json out.json
    python benchmarks/ddp.py resnet34-64px --libraries disttorch --parts      # what of it is what

"Alone": every worker trains its own copy of the network, at the same time, without communication; so both columns share
the machine's cores and memory in the same way, and the difference is what DDP costs. The two kinds of step take turns,
and so do the libraries; a figure is the median of the samples, and of a sample the slowest worker counts.

With --parts two more kinds of step take their turns: "hooks", whose buckets are averaged with nobody, and "traffic",
whose buckets each worker reads and writes as much as beside another one, but meets nobody.
"""

import argparse
import json
import socket
import statistics
import time
from pathlib import Path
from typing import Any

from libraries import library, need_pytorch, processes
from workloads import WORKLOADS

NAMES = ["lenet-64", "resnet34-64px"]
PARTS = ("hooks", "traffic")


class Pretence:
    """Stands for the persistent all-reduce of two ranks: averages with nobody, but with `traffic` as many bytes."""

    def __init__(self, arrays: list[Any], traffic: bool):
        self.halves = [list(array[: array.size // 2 * 2].reshape(2, -1)) for array in arrays]
        self.traffic = traffic

    def start(self, index: int) -> None:
        from disttorch.comm.reduction import reduce_into

        if self.traffic:
            reduce_into(self.halves[index], self.halves[index], "avg")

    def progress(self) -> None:
        pass

    def wait(self) -> None:
        pass


def serve(name: str, rank: int, n: int, port: int, pipe: Any) -> None:
    """One worker of one library: builds what it is told and times steps when asked."""
    torch = library(name)
    torch.set_num_threads(1)
    dist = torch.distributed
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=n)
    steps: dict[str, Any] = {}
    while (order := pipe.recv()) is not None:
        if order[0] == "build":
            steps = {kind: training_step(torch, order[1], kind, cap) for kind, cap in order[2].items()}
            for step in steps.values():
                for _ in range(4):
                    step()
            pipe.send(None)
        else:
            step = steps[order[1]]
            dist.barrier()
            start = time.perf_counter()
            for _ in range(order[2]):
                step()
            pipe.send((time.perf_counter() - start) / order[2])
    dist.destroy_process_group()


def training_step(torch: Any, workload: str, kind: str, cap: float | None) -> Any:
    """A function that trains one step. cap: DDP's bucket size in MB (0: its default); None: without DDP."""
    torch.manual_seed(0)
    model, x, y, loss_of = WORKLOADS[workload].build(torch)
    if cap is not None:
        settings = {"bucket_cap_mb": cap} if cap else {}
        model = torch.nn.parallel.DistributedDataParallel(model, **settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()

    if kind in PARTS:
        step()  # after which buckets are settled
        buckets = [bucket.memory for bucket in model.reducer.buckets]
        model.reducer.persistent = Pretence(buckets, kind == "traffic")
    return step


def jobs_of(name: str, n: int) -> dict[tuple[str, int], tuple]:
    """What the n workers of one library are called with, by library and rank."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return {(name, rank): (name, rank, n, port) for rank in range(n)}


def ask(team: list[Any], *order: Any) -> list[Any]:
    """Give all workers of a library an order and return their answers."""
    for pipe in team:
        pipe.send(order)
    return [pipe.recv() for pipe in team]


def measure(teams: dict[str, list[Any]], workload: str, caps: dict[str, float], samples: int) -> list[dict[str, Any]]:
    """A row for each kind of DDP's steps (caps: their bucket sizes in MB, 0 for the default): milliseconds of a step
    alone and of that kind, for every library.
    """
    kinds: dict[str, float | None] = {"alone": None, **caps}
    for team in teams.values():
        ask(team, "build", workload, kinds)
    steps = WORKLOADS[workload].steps
    times: dict[tuple[str, str], list[float]] = {(name, kind): [] for name in teams for kind in kinds}
    for _ in range(samples):
        for name, team in teams.items():
            for kind in kinds:
                times[name, kind].append(max(ask(team, "time", kind, steps)) * 1e3)
    rows = []
    for kind in caps:
        row: dict[str, Any] = {"workload": workload, "kind": kind}
        for name in teams:
            alone, ddp = times[name, "alone"], times[name, kind]
            row[name] = {
                "alone_ms": statistics.median(alone),
                "ddp_ms": statistics.median(ddp),
                "added": statistics.median(b / a - 1 for a, b in zip(alone, ddp, strict=True)),
            }
        rows.append(row)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=NAMES, help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--libraries", nargs="+", default=["disttorch", "torch"])
    parser.add_argument("--bucket-cap-mb", nargs="+", type=float, default=[0], help="0: each library's default")
    parser.add_argument("--parts", action="store_true", help="also what DDP's hooks add, and the bytes it moves")
    parser.add_argument("--json", help="file to write the rows to")
    options = parser.parse_args()
    if options.parts and (options.libraries != ["disttorch"] or options.workers != 2):
        parser.error("--parts is for two workers and --libraries disttorch")
    if "torch" in options.libraries:
        need_pytorch(parser)
    caps = {f"buckets of {cap:g} MB" if cap else "default buckets": cap for cap in options.bucket_cap_mb}
    caps |= dict.fromkeys(PARTS if options.parts else (), 0.0)
    jobs = {key: job for name in options.libraries for key, job in jobs_of(name, options.workers).items()}
    rows = []
    with processes(serve, jobs) as pipes:
        teams = {name: [pipes[name, rank] for rank in range(options.workers)] for name in options.libraries}
        for workload in options.workloads:
            rows += measure(teams, workload, caps, options.samples)
    print(f"{options.workers} workers of one thread each: milliseconds a step, alone and with DDP, and what DDP adds")
    for row in rows:
        cells = [
            f"{name} {row[name]['alone_ms']:8.2f} {row[name]['ddp_ms']:8.2f} {row[name]['added']:+7.1%}"
            for name in teams
        ]
        print(f"{row['workload']:16} {row['kind']:18}  {'   '.join(cells)}")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
