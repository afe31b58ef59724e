"""Peak memory of training steps beside PyTorch: the resident set at its highest, in a process of its own each.

    python benchmarks/memory.py                        # the table's workloads
    python benchmarks/memory.py lenet-256 gpt

"whole" is the process with all that it loaded, "step" what three training steps added to what it held before them
(model, data and optimizer included). A ratio is PyTorch's memory over ours. Linux only: it reads /proc.
"""

import argparse
from typing import Any

from libraries import library, need_pytorch, processes
from workloads import ALL, accept_workloads


def resident(key: str) -> float:
    """MB of this process: "VmRSS" now, "VmHWM" at the highest."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024


def serve(name: str, workload: str, pipe: Any) -> None:
    """Train three steps, and send (before, peak)."""
    torch = library(name)
    torch.set_num_threads(1)
    before = resident("VmRSS")
    model, x, y, loss_of = ALL[workload].build(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
    pipe.send((before, resident("VmHWM")))


def measure(name: str, workload: str) -> tuple[float, float]:
    """(whole, step) in MB."""
    with processes(serve, {name: (name, workload)}) as pipes:
        before, peak = pipes[name].recv()
    return peak, peak - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    accept_workloads(parser)
    options = parser.parse_args()
    need_pytorch(parser)
    for workload in options.workloads:
        whole, step = measure("disttorch", workload)
        their_whole, their_step = measure("torch", workload)
        print(
            f"{workload:<16} whole {whole:7.0f} MB  PyTorch {their_whole:7.0f} MB  ratio {their_whole / whole:5.2f}"
            f"   step {step:7.0f} MB  PyTorch {their_step:7.0f} MB  ratio {their_step / step:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
