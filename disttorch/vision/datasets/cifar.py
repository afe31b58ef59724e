"""CIFAR-10 and CIFAR-100: 60,000 32x32 colour pictures of 10 or 100 kinds of thing."""

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from disttorch.vision.datasets.utils import check_integrity, download_and_extract_archive
from disttorch.vision.datasets.vision import SplitDataset
from disttorch.vision.pillow import pillow

# What a pickled array is made of, under NumPy's old and new names; anything else in a file is refused.
_ARRAY_PARTS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_PARTS:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}; only NumPy arrays are expected in it")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load_batch(path: str | Path) -> dict[str, Any]:
    """One of the data set's files: a dict of arrays, lists and strings. Runs no code that the file may hold."""
    with open(path, "rb") as file:
        try:
            return _ArraysOnly(file, encoding="latin1").load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise RuntimeError(f"{path} is not a CIFAR file: {error}") from error


class CIFAR10(SplitDataset):
    """50,000 pictures to train with and 10,000 to test with, of 10 classes.

    `root` holds (or, with `download`, will hold) the folder `cifar-10-batches-py`. Attributes: `data`, uint8 array
    (N, 32, 32, 3); `targets`, list of N ints; `classes`; `class_to_idx`. An item is a PIL image and an int, each after
    its transform. Raises RuntimeError when the files are absent or damaged.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list: ClassVar = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list: ClassVar = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta: ClassVar = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": "5ff9c542aee3614f3951f8cda6e48888",
    }

    def _load(self) -> None:
        if not self._check_integrity():
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        batches = [load_batch(self._path(name)) for name, _ in (self.train_list if self.train else self.test_list)]
        pictures = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        self.data = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))  # (N, 32, 32, 3)
        self.targets: list[int] = [label for batch in batches for label in batch.get("labels") or batch["fine_labels"]]
        self.classes: list[str] = load_batch(self._path(self.meta["filename"]))[self.meta["key"]]
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}

    def __getitem__(self, index: int) -> tuple:
        return self._transformed(pillow().fromarray(self.data[index]), self.targets[index])

    def _path(self, name: str) -> Path:
        return Path(self.root) / self.base_folder / name

    def _check_integrity(self) -> bool:
        files = [*self.train_list, *self.test_list, (self.meta["filename"], self.meta["md5"])]
        return all(check_integrity(self._path(name), md5) for name, md5 in files)

    def download(self) -> None:
        if not self._check_integrity():
            download_and_extract_archive(self.url, self.root, filename=self.filename, md5=self.tgz_md5)


class CIFAR100(CIFAR10):
    """As CIFAR10, with 100 classes; the folder is `cifar-100-python`."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list: ClassVar = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list: ClassVar = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta: ClassVar = {
        "filename": "meta",
        "key": "fine_label_names",
        "md5": "7973b15100ade9c7d40fb424638fde48",
    }
