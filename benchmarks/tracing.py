"""What `disttorch run --trace` adds to a training step.

    python benchmarks/tracing.py                        # LeNet, ResNet-34, and a hundred small layers
    python benchmarks/tracing.py lenet-64 --seconds 10

A process that records and one that does not take turns, step by step, with one thread each; the figure is the median of
the ratios of their steps. They run on the same core, since the cores of a shared machine differ in speed.
"""

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

from libraries import processes
from workloads import WORKLOADS

NAMES = ["layers", "lenet-4", "lenet-64", "resnet34-64px"]


def layers(torch: Any):
    """A hundred layers of 128 units, batch 64: hardly more than calls of modules and nodes of the graph."""
    nn = torch.nn
    model = nn.Sequential(*[part for _ in range(100) for part in (nn.Linear(128, 128), nn.ReLU())])
    for part in model[::2]:
        nn.init.kaiming_normal_(part.weight)  # else gradients fade to denormal numbers, which are slow
    return model, torch.randn(64, 128), torch.randint(0, 128, (64,)), nn.CrossEntropyLoss()


def serve(name: str, traced: bool, pipe: Any) -> None:
    """One process: trains a step, and tells how long it took, whenever it is asked to."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    import disttorch as torch
    from disttorch.distributed.tracing import Tracer
    from disttorch.profiler.trace_file import TraceFile

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, x, y, loss_of = layers(torch) if name == "layers" else WORKLOADS[name].build(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    with tempfile.TemporaryDirectory() as folder:
        if traced:
            Tracer(TraceFile(os.path.join(folder, "0"), 0)).start()
        while pipe.recv():
            start = time.perf_counter()
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
            pipe.send(time.perf_counter() - start)


def measure(name: str, seconds: float) -> tuple[float, float]:
    """Seconds of a step that is not recorded, and the part that recording adds to it."""
    with processes(serve, {traced: (name, traced) for traced in (False, True)}) as pipes:

        def steps() -> list[float]:
            taken = []
            for pipe in pipes.values():
                pipe.send(True)
                taken.append(pipe.recv())
            return taken

        for _ in range(10):
            steps()
        end, pairs = time.perf_counter() + seconds, []
        while time.perf_counter() < end:
            pairs.append(steps())
    return statistics.median(plain for plain, _ in pairs), statistics.median(b / a for a, b in pairs) - 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=NAMES, help=f"of layers, {', '.join(WORKLOADS)}")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each workload")
    options = parser.parse_args()
    for name in options.workloads:
        plain, added = measure(name, options.seconds)
        print(f"{name:16} {plain * 1e3:8.2f} ms a step, with a trace {added:+6.1%}")


if __name__ == "__main__":
    main()
