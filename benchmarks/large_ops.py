"""Single operations on large tensors beside PyTorch's, the slowest beside it first.

    python benchmarks/large_ops.py                          # forwards, one thread
    python benchmarks/large_ops.py --backward --threads 2 --only softmax --json out.json

Float32: `a` has 512 by 512 elements, `i` is 8 pictures of 16 channels, 64 by 64, `k` 512 indices. Each library runs
in a process of its own, both alive at once, and in turns; figures are the medians of the samples in microseconds a
call. A ratio is PyTorch's time over ours, the median over pairs of samples. With --backward a call is followed by the
backward of its sum.
"""

import argparse
import json
import platform
import statistics
import time
import timeit
from typing import Any

from libraries import installed, library, processes

SAMPLE = 5e-3  # seconds, where a call takes less

SETUP = """
torch.manual_seed(0)
a, i = torch.randn(512, 512).requires_grad_(), torch.randn(8, 16, 64, 64).requires_grad_()
k, where = torch.randint(0, 512, (512,)), torch.rand(8, 64, 64, 2) * 2 - 1
"""

OPERATIONS = [
    # element by element
    "a.abs()", "a.sign()", "(a * a).sqrt()", "a.sin()", "a.erf()", "a.sigmoid()", "a.tanh()", "a.floor()",
    "a.clamp(-1, 1)", "a.clamp(min=0.5)", "torch.where(a > 0, a, -a)", "a.masked_fill(a > 0, 0.0)",
    "torch.fmod(a, 0.3)", "torch.remainder(a, 0.3)", "torch.lerp(a, a + 1, 0.3)", "F.gelu(a)", "F.softplus(a)",
    # along a dimension
    "a.sum(0)", "a.sum(1)", "i.reshape(8, -1).sum(1)", "a.prod(1)", "a.std(0)", "a.max(0)[0]", "a.max(1)[0]",
    "a.norm(dim=1)", "a.cumsum(0)", "a.cumsum(1)", "a.cumprod(1)", "a.sort(1)[0]", "a.topk(5, 1)[0]",
    "a.median(1)[0]", "a.kthvalue(9, 1)[0]", "a.softmax(0)", "a.softmax(1)", "a.log_softmax(0)", "a.log_softmax(1)",
    "torch.logsumexp(a, 1)",
    # other shapes, places and types
    "a.t().contiguous()", "i.permute(0, 2, 3, 1).contiguous()", "torch.cat([a, a], 1)", "torch.stack([a, a], 1)",
    "a.flip(1)", "a.roll(3, 1)", "a.tril()", "a[k]", "a[:, k]", "a.gather(1, k[None].expand(512, 512))", "a[a > 0]",
    "F.one_hot(k, 512)", "a.double()", "a.half()", "a.bfloat16()",
    # products and distances
    "a @ a", "torch.outer(a[0], a[1])", "torch.cdist(a, a)", "torch.einsum('ij,kj->ik', a, a)", "torch.linalg.inv(a)",
    # networks
    "F.layer_norm(a, (512,))", "F.normalize(a)", "F.cosine_similarity(a, a + 1)", "F.embedding(k, a)",
    "F.cross_entropy(a, k)", "F.l1_loss(a, a + 1)", "F.dropout(a, 0.5)", "F.pad(i, (1, 1, 1, 1))",
    "F.avg_pool2d(i, 2)", "F.interpolate(i, scale_factor=2)", "F.grid_sample(i, where, align_corners=False)",
    "F.unfold(i, 3, padding=1)",
]  # fmt: skip


def serve(name: str, threads: int, backward: bool, pipe: Any) -> None:
    """One library: times what it is asked for."""
    torch = library(name)
    torch.set_num_threads(threads)
    names: dict[str, Any] = {"torch": torch, "F": torch.nn.functional}
    exec(SETUP, names)
    leaves = [names["a"], names["i"]]

    def timer(code: str) -> timeit.Timer:
        call = eval(f"lambda: {code}", names)
        if not (backward and call().requires_grad):
            return timeit.Timer(call)

        def both() -> None:
            call().sum().backward()
            for leaf in leaves:
                leaf.grad = None

        return timeit.Timer(both)

    while (order := pipe.recv()) is not None:
        code, count = order
        with torch.set_grad_enabled(backward):
            pipe.send(timer(code).timeit(count))


def measure(pipes: dict[str, Any], code: str, samples: int) -> dict[str, Any]:
    """Medians of alternating samples in microseconds a call."""

    def ask(pipe: Any, count: int) -> float:
        pipe.send((code, count))
        return pipe.recv() / count

    counts = {}
    for name, pipe in pipes.items():
        ask(pipe, 2)
        counts[name] = max(1, int(SAMPLE / ask(pipe, 3)))
    times: dict[str, list[float]] = {name: [] for name in pipes}
    for _ in range(samples):
        for name, pipe in pipes.items():
            times[name].append(ask(pipe, counts[name]) * 1e6)
    row: dict[str, Any] = {"operation": code}
    row.update({f"{name}_us": statistics.median(values) for name, values in times.items()})
    if len(pipes) == 2:
        row["ratio"] = statistics.median(times["torch"][n] / times["disttorch"][n] for n in range(samples))
    return row


def format_row(row: dict[str, Any]) -> str:
    text = f"{row['operation']:<46} {row['disttorch_us']:9.1f} us"
    return text + (f"   PyTorch {row['torch_us']:9.1f} us   ratio {row['ratio']:6.2f}" if "ratio" in row else "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only operations whose code contains this")
    parser.add_argument("--samples", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backward", action="store_true", help="with the backward of the result's sum")
    parser.add_argument("--json", help="where to write the figures")
    args = parser.parse_args()
    jobs = {name: (name, args.threads, args.backward) for name in installed()}
    with processes(serve, jobs) as pipes:
        rows = [measure(pipes, code, args.samples) for code in OPERATIONS if args.only in code]
    for row in sorted(rows, key=lambda row: row.get("ratio", 0)):
        print(format_row(row))
    if ratios := [row["ratio"] for row in rows if "ratio" in row]:
        print(
            f"geometric mean of {len(ratios)} ratios: {statistics.geometric_mean(ratios):.2f}, lowest {min(ratios):.2f}"
        )
    if args.json:
        machine = platform.processor() or platform.machine()
        with open(args.json, "w") as file:
            json.dump({"machine": machine, "date": time.strftime("%Y-%m-%d"), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
