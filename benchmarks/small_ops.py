"""Small operations beside PyTorch's, where a call's overhead is all there is.

    python benchmarks/small_ops.py                        # forwards, and chains with their backward
    python benchmarks/small_ops.py --only softmax --samples 15 --json out.json

Float32 tensors of 3 by 4 elements (16 for `v`), one thread. Each library runs in a process of its own, both alive at
once, on the same core and in turns; a sample is some milliseconds of one operation, and the figures are the medians
of the samples in microseconds a call. A ratio is our time over PyTorch's, the median over pairs of samples. The second
table's chains put 20 operations on one another and go back through them; theirs are microseconds for each operation.
"""

import argparse
import json
import os
import platform
import statistics
import time
import timeit
from typing import Any

from libraries import installed, library, processes

SAMPLE = 4e-3  # seconds
LINKS = 20  # operations in a chain
FORWARD_GOAL, CHAIN_GOAL = 1.5 / 0.9, 3 / 4  # ours / PyTorch

SETUP = """
a, b, w, row = torch.randn(3, 4), torch.randn(3, 4), torch.randn(4, 3), torch.randn(4)
c, v, image = torch.rand(3, 4) + 1, torch.randn(16), torch.randn(1, 2, 6, 6)
mask, at, labels = a > 0, torch.tensor([[0, 1], [2, 3], [1, 0]]), torch.tensor([1, 0, 3])
table, weight, bias, filters = torch.randn(5, 4), torch.randn(4, 4), torch.randn(4), torch.randn(2, 2, 3, 3)
linear, relu, norm = nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4)
"""

FORWARD = [
    # arithmetic
    "a + b", "a - row", "a * b", "a * 2.0", "a / c", "a ** 2", "-a", "a.abs()", "a.exp()", "c.log()", "c.sqrt()",
    "a.clamp(-1, 1)", "a > 0", "torch.where(mask, a, b)", "a.add_(0.0)",
    # activations
    "a.relu()", "a.sigmoid()", "a.tanh()", "F.gelu(a)", "F.silu(a)", "F.softmax(a, 1)", "F.log_softmax(a, 1)",
    "F.dropout(a, 0.5)",
    # reductions
    "a.sum()", "a.mean(1)", "a.max()", "a.max(1)", "a.argmax(1)", "a.std()", "a.norm()", "v.median()", "v.topk(3)",
    "v.sort()", "v.cumsum(0)",
    # shapes and indices
    "a.view(4, 3)", "a.reshape(12)", "a.t()", "a.transpose(0, 1)", "a.permute(1, 0)", "a.unsqueeze(0)", "a.squeeze()",
    "a.flatten()", "a.expand(2, 3, 4)", "a.size(0)", "a.detach()", "a.clone()", "a.contiguous()", "a.float()", "a[0]",
    "a[:, 1:]", "a[at[:, 0]]", "a.gather(1, at)", "a.masked_fill(mask, 0.0)", "torch.cat((a, b))",
    "torch.stack((a, b))", "a.split(2)", "a.triu()",
    # products
    "a @ w", "v.dot(v)", "w.mv(v[:3])", "w[:3].trace()", "torch.outer(row, row)",
    # networks
    "F.linear(a, weight, bias)", "linear(a)", "relu(a)", "norm(a)", "F.layer_norm(a, (4,))", "F.embedding(at, table)",
    "F.conv2d(image, filters)", "F.max_pool2d(image, 2)",
    "F.cross_entropy(a, labels)", "F.mse_loss(a, b)", "F.nll_loss(a, labels)",
    # making tensors
    "torch.zeros(3, 4)", "torch.ones(3, 4)", "torch.zeros_like(a)", "torch.empty(3, 4)", "torch.arange(12)",
    "torch.tensor([1.0, 2.0])", "torch.rand(3, 4)", "torch.randn(3, 4)", "torch.randint(5, (3, 4))", "a.sum().item()",
]  # fmt: skip
# With `y` for what the operation before has given.
CHAINED = [
    "y + b", "y * b", "y * 0.99", "y / c", "y - row", "y.relu()", "y.sigmoid()", "y.tanh()", "F.gelu(y)",
    "F.softmax(y, 1)", "F.log_softmax(y, 1)", "y.clamp(-9, 9)", "y.view(3, 4)", "y.t()", "y[:]",
    "y.masked_fill(mask, 0.0)", "y @ weight", "linear(y)", "norm(y)",
]  # fmt: skip


def statement(code: str) -> str:
    """What is timed: the operation, or a chain of it and its backward."""
    if code in FORWARD:
        return code
    return "\n".join(["y = x", *[f"y = {code}"] * LINKS, "y.backward(ones)", "x.grad = None"])


def serve(name: str, pipe: Any) -> None:
    """A process with one library, on one core: it is told an operation and how many calls to time."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    torch = library(name)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    exec(SETUP, names)
    names |= {"x": names["a"].clone().requires_grad_(), "ones": torch.ones(3, 4)}
    timers = {code: timeit.Timer(statement(code), globals=names) for code in [*FORWARD, *CHAINED]}
    while (order := pipe.recv()) is not None:
        code, count = order
        with torch.set_grad_enabled(code in CHAINED):
            pipe.send(timers[code].timeit(count))


def measure(pipes: dict[str, Any], code: str, samples: int) -> dict:
    """Medians of alternating samples in microseconds an operation."""

    def ask(pipe: Any, count: int) -> float:
        pipe.send((code, count))
        return pipe.recv()

    counts = {}
    for name, pipe in pipes.items():
        ask(pipe, 5)
        counts[name] = max(1, int(SAMPLE * 20 / ask(pipe, 20)))
    times: dict[str, list[float]] = {name: [] for name in pipes}
    for _ in range(samples):
        for name, pipe in pipes.items():
            each = ask(pipe, counts[name]) / counts[name]
            times[name].append(each * 1e6 / (LINKS if code in CHAINED else 1))
    row: dict[str, Any] = {"operation": code, "backward": code in CHAINED}
    row.update({f"{name}_us": statistics.median(values) for name, values in times.items()})
    if len(pipes) == 2:
        row["ratio"] = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    return row


def format_row(row: dict) -> str:
    text = f"{row['operation']:<28} {'with backward' if row['backward'] else '':<14} {row['disttorch_us']:8.2f} us"
    return text + (f"   PyTorch {row['torch_us']:8.2f} us   ratio {row['ratio']:5.2f}" if "ratio" in row else "")


def run(codes: list[str], samples: int) -> list[dict]:
    """All operations, printed as they are measured."""
    rows = []
    with processes(serve, {name: (name,) for name in installed()}) as pipes:
        for code in codes:
            rows.append(measure(pipes, code, samples))
            print(format_row(rows[-1]), flush=True)
    return rows


def summary(rows: list[dict]) -> list[str]:
    """Geometric means of the ratios, and how many meet the goal."""
    lines = []
    for what, backward, goal in (("forward", False, FORWARD_GOAL), ("with backward", True, CHAIN_GOAL)):
        ratios = [row["ratio"] for row in rows if row["backward"] == backward and "ratio" in row]
        if ratios:
            met = sum(ratio <= goal for ratio in ratios)
            mean = statistics.geometric_mean(ratios)
            lines.append(f"{what}: geometric mean {mean:.2f}, {met} of {len(ratios)} at or below {goal:.2f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only operations whose code contains this")
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--json", help="where to write the figures")
    args = parser.parse_args()
    rows = run([code for code in [*FORWARD, *CHAINED] if args.only in code], args.samples)
    print(*summary(rows), sep="\n")
    if args.json:
        machine = platform.processor() or platform.machine()
        with open(args.json, "w") as file:
            json.dump({"machine": machine, "date": time.strftime("%Y-%m-%d"), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
