"""The 1,797 handwritten digits that come with the package."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from disttorch.vision.datasets.vision import SplitDataset
from disttorch.vision.pillow import pillow

BRIGHTEST = 16  # the largest value in the file


class Digits(SplitDataset):
    """UCI's optical digits: 8x8 grey pictures of 0 to 9, for a first training without a download.

    Every fifth picture of each digit is for testing: 1,442 pictures to train with, 355 to test with, always the same.

    Attributes: `data`, uint8 array (N, 8, 8), the file's 0..16 scaled to 0..255; `targets`, list of N ints;
    `classes`, their names. An item is a PIL image (mode "L") and an int, each after its transform.
    `root` and `download` are accepted as by the other datasets and not needed. The data is E. Alpaydin's and
    C. Kaynak's (1998), https://doi.org/10.24432/C50P49, CC BY 4.0.
    """

    classes = [str(digit) for digit in range(10)]  # noqa: RUF012 - as in torchvision, a list on the class

    def __init__(
        self,
        root: str | Path | None = None,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, train, transform, target_transform, download)

    def _load(self) -> None:
        with (resources.files(__package__) / "digits.npz").open("rb") as file, np.load(file) as content:
            images, labels = content["images"], content["labels"]
        chosen = for_testing(labels) != self.train
        self.data = np.round(images[chosen] * (255 / BRIGHTEST)).astype(np.uint8)  # (N, 8, 8)
        self.targets: list[int] = labels[chosen].tolist()

    def download(self) -> None:
        """Nothing: the file is in the package."""

    def __getitem__(self, index: int) -> tuple:
        return self._transformed(pillow().fromarray(self.data[index]), self.targets[index])


def for_testing(labels: np.ndarray) -> np.ndarray:
    """A mask over the file: the fifth, tenth, ... picture of each digit."""
    mask = np.zeros(len(labels), bool)
    for digit in range(10):
        mask[np.flatnonzero(labels == digit)[4::5]] = True
    return mask
