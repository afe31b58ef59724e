"""Where a training step's time goes: forward, backward, optimizer; kernels by kind; what is left is overhead.

    python benchmarks/phases.py lenet-4 transformer --steps 20

Milliseconds of CPU time a step on one thread, medians. "kernels" are the calls into oneDNN (with the passing of
arguments); operations of NumPy, such as additions and the forward of relu, count as the rest.
"""

import argparse
import statistics
import time
from collections import defaultdict

from workloads import ALL, accept_workloads

import disttorch as torch
from disttorch.kernels import for_device


def timed(function, kind_of, spent):
    """`function`, whose CPU time is added to `spent[kind_of(*args)]`."""

    def call(*args, **kwargs):
        start = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[kind_of(*args)] += time.thread_time() - start

    return call


def measure(name: str, steps: int, spent: dict) -> None:
    torch.manual_seed(0)
    model, x, y, loss_of = ALL[name].build(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    phases: dict[str, list] = defaultdict(list)
    kernels: dict[str, list] = defaultdict(list)
    for step in range(steps + 3):
        spent.clear()
        marks = [time.thread_time()]
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        marks.append(time.thread_time())
        loss.backward()
        marks.append(time.thread_time())
        optimizer.step()
        marks.append(time.thread_time())
        if step >= 3:  # the first ones build plans
            for k, phase in enumerate(("forward", "backward", "optimizer")):
                phases[phase].append((marks[k + 1] - marks[k]) * 1e3)
            phases["step"].append((marks[-1] - marks[0]) * 1e3)
            for kind, seconds in spent.items():
                kernels[kind].append(seconds * 1e3)
    print(name, "  ".join(f"{k} {statistics.median(v):.3f}" for k, v in phases.items()))
    medians = {k: statistics.median(v) for k, v in kernels.items()}
    ranked = sorted(medians.items(), key=lambda item: -item[1])
    print(f"  kernels {sum(medians.values()):.3f}:", ", ".join(f"{k} {v:.3f}" for k, v in ranked), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    accept_workloads(parser)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    kernels, spent = for_device("cpu"), defaultdict(float)
    if kernels.name != "onednn":
        parser.error("oneDNN is not in use; there are no kernels to tell from the rest")
    kernels.engine.run = timed(kernels.engine.run, lambda key, *_: key[0], spent)
    kernels._gemm = timed(kernels._gemm, lambda *_: "gemm", spent)
    for name in args.workloads:
        measure(name, args.steps, spent)


if __name__ == "__main__":
    main()
