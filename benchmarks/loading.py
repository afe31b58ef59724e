"""A DataLoader with worker processes, beside PyTorch's: pictures of 32x32, the two libraries taking turns.

    python benchmarks/loading.py                       # 2 workers, batches of 64
    python benchmarks/loading.py --workers 0 2 --rounds 9

The datasets are written once for both. "tensors" keeps its pictures as a tensor and returns views; "transform" makes
each picture from bytes by a few array operations, as a data set with augmentation does. The figure is the median time
of an epoch after the first (workers stay alive); a ratio is PyTorch's time over ours.
"""

import argparse
import itertools
import statistics
import time
from typing import Any

from libraries import installed, library, need_pytorch, processes

PICTURES, BATCH = 6400, 64


class Tensors:
    """Pictures (3, 32, 32) that lie in memory, and their classes."""

    def __init__(self, torch: Any):
        self.pictures = torch.randn(PICTURES, 3, 32, 32)
        self.classes = torch.randint(0, 10, (PICTURES,))

    def __len__(self) -> int:
        return PICTURES

    def __getitem__(self, i: int):
        return self.pictures[i], int(self.classes[i])


class Transform(Tensors):
    """The same from bytes: cropped, turned round every other time, scaled."""

    def __init__(self, torch: Any):
        super().__init__(torch)
        self.pictures = torch.randint(0, 256, (PICTURES, 3, 36, 36), dtype=torch.uint8)

    def __getitem__(self, i: int):
        row, column = i % 5, i // 5 % 5
        picture = self.pictures[i][:, row : row + 32, column : column + 32].float() / 255
        return (picture.flip(2) if i % 2 else picture) - 0.5, int(self.classes[i])


DATASETS = {"tensors": Tensors, "transform": Transform}


def serve(name: str, pipe: Any) -> None:
    """A process with one library: builds a loader when asked, and times epochs."""
    torch = library(name)
    loader: Any = None
    while (order := pipe.recv()) is not None:
        if order[0] == "build":
            dataset = DATASETS[order[1]](torch)
            loader = torch.utils.data.DataLoader(
                dataset, batch_size=BATCH, shuffle=True, num_workers=order[2], persistent_workers=order[2] > 0
            )
        start = time.perf_counter()
        for pictures, classes in loader:
            assert pictures.shape == (BATCH, 3, 32, 32)
            assert classes.shape == (BATCH,)
        pipe.send(time.perf_counter() - start)


def measure(pipes: dict[str, Any], kind: str, workers: int, rounds: int) -> list[float]:
    """The median seconds of an epoch after the first, for each library."""
    times: dict[str, list[float]] = {name: [] for name in pipes}
    for turn in range(rounds + 1):
        for name, pipe in pipes.items():
            pipe.send(("again",) if turn else ("build", kind, workers))
            times[name].append(pipe.recv())
    return [statistics.median(seconds[1:]) for seconds in times.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    need_pytorch(parser)
    with processes(serve, {name: (name,) for name in installed()}) as pipes:
        for workers, kind in itertools.product(options.workers, DATASETS):
            ours, theirs = measure(pipes, kind, workers, options.rounds)
            print(
                f"{kind:<10} {workers} workers  {PICTURES / ours:8.0f} pictures/s  PyTorch {PICTURES / theirs:8.0f}"
                f"  ratio {theirs / ours:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
