"""Losses of the first steps here, in PyTorch, and in PyTorch in float64: how far rounding carries the two apart.

python benchmarks/losses.py resnet34-64px --steps 20
"""

import argparse
from typing import Any

import torch
from workloads import ALL, workload_name

import disttorch


def train(library: Any, name: str, steps: int, double: bool = False) -> list[float]:
    library.manual_seed(0)
    library.set_num_threads(1)
    model, x, y, loss_of = ALL[name].build(library)
    if double:
        model, x = model.double(), x.double()
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", type=workload_name, help=f"of {', '.join(ALL)}")
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    exact = train(torch, args.workload, args.steps, double=True)
    rows = zip(train(disttorch, args.workload, args.steps), train(torch, args.workload, args.steps), exact, strict=True)
    for step, (ours, theirs, right) in enumerate(rows):
        print(
            f"{step:3d}  float64 {right:.6f}   relative distance from it: disttorch {abs(ours - right) / right:.1e}, "
            f"PyTorch {abs(theirs - right) / right:.1e}"
        )


if __name__ == "__main__":
    main()
