"""How far a training step is from the least it could take.

    python benchmarks/floors.py lenet-64 transformer --steps 10

The least is its products at the rate of a large matrix product, and all other kernels' arrays, and the optimizer's,
once through memory. One thread. Multiplications and bytes are counted where operations call the kernels, so NumPy's own
operations (additions, reshaping copies) are in the step but not in the floor, nor are Python and the passing of
arguments.
"""

import argparse
import statistics
import time
from math import prod
from typing import Any

import numpy as np
from workloads import ALL, accept_workloads

import disttorch as torch
from disttorch.kernels import for_device

UPDATES = {"add_scaled", "decay_and_add"}  # the optimizer's, which are counted by its parameters
OPTIMIZER = 5  # arrays that SGD with momentum reads (parameter, gradient, momentum) and writes (parameter, momentum)


def recurrent(x: Any, batch_sizes: Any, w_ih: Any, w_hh: Any) -> int:
    return sum(batch_sizes) * (w_ih.size + w_hh.size)


# Multiplications of the kernels that are products, by the kernel's arguments.
PRODUCTS: dict[str, Any] = {
    "matmul": lambda a, b: a.size * b.shape[-1],
    "linear_forward": lambda x, w, *_: x.size * len(w),
    "linear_backward": lambda g, x, w, needs, *_: x.size * len(w) * (needs[0] + needs[1]),
    "linear_parts_backward": lambda gs, x, w, needs: x.size * len(w) * (needs[0] + needs[1]),
    "conv_backward": lambda g, x, w, a, b, c, d, needs, *_: g.size * prod(w.shape[1:]) * (needs[0] + needs[1]),
    "conv_backward_input": lambda g, w, *_: g.size * prod(w.shape[1:]),
    "attention_forward": lambda q, k, v, *_: q.size * k.shape[-2] + q.size // q.shape[-1] * v.shape[-2] * v.shape[-1],
    "attention_backward": lambda g, q, k, v, *_: 4 * q.size * k.shape[-2],
    "lstm_forward": lambda x, sizes, h, c, w_ih, w_hh, *_: recurrent(x, sizes, w_ih, w_hh),
    "lstm_backward": lambda g, gh, gc, s, x, sizes, h, c, y, w_ih, w_hh, *_: 2 * recurrent(x, sizes, w_ih, w_hh),
    "gru_forward": lambda x, sizes, h, w_ih, w_hh, *_: recurrent(x, sizes, w_ih, w_hh),
    "gru_backward": lambda g, gh, s, x, sizes, h, y, w_ih, w_hh, *_: 2 * recurrent(x, sizes, w_ih, w_hh),
}


class Counter:
    """Multiplications of products, and bytes of all other kernels, since `reset`."""

    def __init__(self, kernels: Any):
        self.busy = False
        self.reset()
        for name in dir(kernels):
            if not name.startswith("_") and callable(getattr(kernels, name)):
                setattr(kernels, name, self.counted(name, getattr(kernels, name)))

    def reset(self) -> None:
        self.multiplications, self.bytes = 0, 0

    def counted(self, name: str, kernel: Any) -> Any:
        def call(*args, **kwargs):
            if self.busy:  # called by another kernel, which has been counted
                return kernel(*args, **kwargs)
            self.busy = True
            try:
                result = kernel(*args, **kwargs)
            finally:
                self.busy = False
            if name in UPDATES:
                return result
            if name == "conv_forward":
                self.multiplications += result.size * prod(args[1].shape[1:])
            elif name in PRODUCTS:
                self.multiplications += int(PRODUCTS[name](*args))
            else:
                results = result if isinstance(result, tuple) else (result,)
                self.bytes += sum(a.nbytes for a in (*args, *results) if isinstance(a, np.ndarray))
            return result

        return call


def best(function: Any, rounds: int = 20) -> float:
    """Seconds of the quickest of some calls."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def machine() -> tuple[float, float]:
    """(multiplications, bytes) a second on one thread: a product of 1024 x 1024 matrices, a copy of 64 MB."""
    a, source = np.ones((1024, 1024), np.float32), np.ones(1 << 24, np.float32)
    target = np.empty_like(source)
    matmul = for_device("cpu").matmul
    return 1024**3 / best(lambda: matmul(a, a)), 2 * source.nbytes / best(lambda: np.copyto(target, source))


def measure(name: str, steps: int, counter: Counter, rate: float, bandwidth: float) -> None:
    torch.manual_seed(0)
    model, x, y, loss_of = ALL[name].build(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    times = []
    for _ in range(steps + 3):
        counter.reset()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    products = counter.multiplications / rate * 1e3
    memory = (counter.bytes + OPTIMIZER * weights) / bandwidth * 1e3
    step = statistics.median(times[3:]) * 1e3
    print(
        f"{name:<16} {counter.multiplications / 5e8:8.2f} GFLOP {products:8.2f} ms   "
        f"{(counter.bytes + OPTIMIZER * weights) / 1e6:8.1f} MB {memory:8.2f} ms   floor {products + memory:8.2f} ms   "
        f"step {step:8.2f} ms = {step / (products + memory):.2f} floors",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    accept_workloads(parser)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rate, bandwidth = machine()
    print(f"{2 * rate / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s")
    counter = Counter(for_device("cpu"))
    for name in options.workloads:
        measure(name, options.steps, counter, rate, bandwidth)


if __name__ == "__main__":
    main()
