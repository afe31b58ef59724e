"""Time whole training steps beside PyTorch: the same networks, weights and data, the two taking turns.

    python benchmarks/training.py                                # all workloads, 1 thread
    python benchmarks/training.py lenet-4 mlp-64 --threads 1 2 --more --json out.json --plot out.png
    python benchmarks/training.py --inference                    # forwards under no_grad
    python benchmarks/training.py --autocast                     # products and convolutions in bfloat16

Each library runs in a process of its own, both alive at once and never busy at the same time; a sample is some steps in
a row, and the figure is the median of the samples. A ratio is PyTorch's time over ours. Both losses after the same 20
steps from the same weights are compared too.
"""

import argparse
import json
import os
import platform
import statistics
import time
from typing import Any

from libraries import installed, library, processes
from workloads import ALL, MORE, Workload, accept_workloads

LOSS_STEPS = 20
PAUSE = 0.05  # seconds before a sample: the other library's threads go on spinning after theirs


def serve(name: str, threads: int, inference: bool, autocast: bool, pipe: Any) -> None:
    """A process with one library: builds what it is told and times steps when asked.

    Both libraries run on the same cores: those of a shared machine differ in speed from one minute to the next.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch = library(name)
    torch.set_num_threads(threads)
    step: Any = None
    while (order := pipe.recv()) is not None:
        if order[0] == "build":
            workload: Workload = ALL[order[1]]
            torch.manual_seed(0)
            model, x, y, loss_of = workload.build(torch)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
            losses: list[float] = []

            def forward(model=model, x=x, y=y, loss_of=loss_of) -> Any:
                out = model(x)
                return out if inference else loss_of(out, y)

            if autocast:
                forward = torch.autocast("cpu")(forward)

            def train(forward=forward, optimizer=optimizer) -> Any:
                optimizer.zero_grad()
                loss = forward()
                loss.backward()
                optimizer.step()
                return loss

            infer = torch.no_grad()(forward)

            if inference:
                model.eval()
                infer()
            else:
                losses = [train().item() for _ in range(LOSS_STEPS if order[2] else 2)]
            step = infer if inference else train
            pipe.send(losses)
        else:
            start = time.perf_counter()
            for _ in range(order[1]):
                step()
            pipe.send((time.perf_counter() - start) / order[1])


def measure(pipes: dict[str, Any], name: str, workload: Workload, samples: int, check: bool) -> dict:
    """Medians of alternating samples, in milliseconds a step, and the losses."""
    losses = {}
    for library_name, pipe in pipes.items():
        pipe.send(("build", name, check))
        losses[library_name] = pipe.recv()
    times: dict[str, list[float]] = {n: [] for n in pipes}
    for _ in range(samples):
        for library_name, pipe in pipes.items():
            time.sleep(PAUSE)
            pipe.send(("time", workload.steps))
            times[library_name].append(pipe.recv() * 1e3)
    row: dict[str, Any] = {"workload": name, "wanted": workload.wanted}
    row.update({f"{n}_ms": statistics.median(t) for n, t in times.items()})
    if len(pipes) == 2:
        row["ratio"] = statistics.median(b / a for a, b in zip(times["disttorch"], times["torch"], strict=True))
        if check and losses["torch"]:
            pairs = zip(losses["disttorch"], losses["torch"], strict=True)
            row["loss_difference"] = max(abs(a - b) / max(abs(b), 1e-12) for a, b in pairs)
    return row


def run(names: list[str], threads: int, samples: int, inference: bool, autocast: bool, check: bool) -> list[dict]:
    """All workloads with so many threads, printed as they are measured."""
    rows = []
    with processes(serve, {name: (name, threads, inference, autocast) for name in installed()}) as pipes:
        for name in names:
            row = {"threads": threads, **measure(pipes, name, ALL[name], samples, check)}
            if inference or autocast:
                row["wanted"] = 1.0  # the workload's goal is for a step in float32
            rows.append(row)
            print(format_row(row), flush=True)
    return rows


def format_row(row: dict) -> str:
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ' '}"
    text = f"{row['workload']:<16} {threads} {row['disttorch_ms']:10.3f} ms"
    if "ratio" in row:
        text += f"   PyTorch {row['torch_ms']:10.3f} ms   ratio {row['ratio']:5.2f} (wanted {row['wanted']:.2f})"
        text += f"   losses differ by {row['loss_difference']:.1e}" if "loss_difference" in row else ""
    return text


def plot(rows: list[dict], path: str) -> None:
    """Ratios as bars, 1.0 (PyTorch's speed) as a line."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r["workload"] for r in rows))
    counts = sorted({r["threads"] for r in rows})
    figure, axes = plt.subplots(figsize=(10, 4))
    width = 0.8 / len(counts)
    for k, threads in enumerate(counts):
        ratios = [next((r["ratio"] for r in rows if r["workload"] == n and r["threads"] == threads), 0) for n in names]
        axes.bar(
            [i + k * width for i in range(len(names))],
            ratios,
            width,
            label=f"{threads} thread{'s' if threads > 1 else ''}",
        )
    axes.axhline(1.0, color="black", linewidth=1)
    axes.set_xticks([i + width * (len(counts) - 1) / 2 for i in range(len(names))], names, rotation=30, ha="right")
    axes.set_ylabel("PyTorch's time / ours")
    axes.set_title("A training step (higher is faster than PyTorch)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    accept_workloads(parser)
    parser.add_argument("--more", action="store_true", help="also the workloads beyond the table")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--samples", type=int, default=7)
    parser.add_argument("--inference", action="store_true", help="forwards under no_grad instead of training steps")
    parser.add_argument("--autocast", action="store_true", help='forwards under autocast("cpu"), in bfloat16')
    parser.add_argument("--no-losses", action="store_true", help="do not compare the losses of the first steps")
    parser.add_argument("--json", help="where to write the figures")
    parser.add_argument("--plot", help="where to draw the ratios (PNG)")
    args = parser.parse_args()
    names = list(dict.fromkeys([*args.workloads, *(MORE if args.more else [])]))
    modes = args.inference, args.autocast, not args.no_losses
    rows = [r for threads in args.threads for r in run(names, threads, args.samples, *modes)]
    ratios = [r["ratio"] for r in rows if "ratio" in r]
    if ratios:
        print(
            f"geometric mean of {len(ratios)} ratios: {statistics.geometric_mean(ratios):.2f}, lowest {min(ratios):.2f}"
        )
    if args.json:
        with open(args.json, "w") as file:
            json.dump(
                {
                    "machine": platform.processor() or platform.machine(),
                    "date": time.strftime("%Y-%m-%d"),
                    "rows": rows,
                },
                file,
                indent=1,
            )
    if args.plot and ratios:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
