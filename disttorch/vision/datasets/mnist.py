"""MNIST and Fashion-MNIST: 70,000 28x28 grey pictures of 10 kinds, in the IDX format."""

import math
from pathlib import Path
from typing import ClassVar

import numpy as np

import disttorch
from disttorch.vision.datasets.utils import check_integrity, extract_archive, fetch
from disttorch.vision.datasets.vision import SplitDataset
from disttorch.vision.pillow import pillow

UNSIGNED_BYTE = 8  # IDX's code of the only type that these files use


def read_idx(path: str | Path, ndim: int) -> np.ndarray:
    """An IDX file of unsigned bytes as an array; RuntimeError when it is anything else.

    The file is two zero bytes, the type's code, the number of dimensions, each size as a big-endian 32-bit integer,
    then the values (http://yann.lecun.com/exdb/mnist/).
    """
    content = Path(path).read_bytes()
    start = 4 + 4 * ndim
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    if content[:4] != bytes([0, 0, UNSIGNED_BYTE, ndim]) or len(content) - start != math.prod(shape):
        raise RuntimeError(f"{path} is not a whole IDX file of {ndim}-dimensional bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


class MNIST(SplitDataset):
    """60,000 pictures of handwritten digits to train with and 10,000 to test with.

    `root` holds (or, with `download`, will hold) the folder `MNIST/raw` with the four files. Attributes: `data`, uint8
    tensor (N, 28, 28); `targets`, int64 tensor (N,); `classes`; `class_to_idx`. An item is a PIL image (mode "L") and
    an int, each after its transform. Raises RuntimeError when the files are absent or damaged.
    """

    mirrors: ClassVar = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"]
    resources: ClassVar = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes: ClassVar = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]

    def _load(self) -> None:
        if not self._check_exists():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        split = "train" if self.train else "t10k"
        self.data = disttorch.from_numpy(read_idx(self._raw / f"{split}-images-idx3-ubyte", 3))  # (N, 28, 28)
        self.targets = disttorch.from_numpy(read_idx(self._raw / f"{split}-labels-idx1-ubyte", 1).astype(np.int64))

    def __getitem__(self, index: int) -> tuple:
        return self._transformed(pillow().fromarray(self.data[index].numpy()), int(self.targets[index]))

    @property
    def _raw(self) -> Path:
        return Path(self.root) / type(self).__name__ / "raw"

    @property
    def raw_folder(self) -> str:
        return str(self._raw)

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes)}

    def _check_exists(self) -> bool:
        return all(check_integrity(self._raw / name.removesuffix(".gz")) for name, _ in self.resources)

    def download(self) -> None:
        if self._check_exists():
            return
        for name, md5 in self.resources:
            fetch([mirror + name for mirror in self.mirrors], self._raw / name, md5)
            extract_archive(self._raw / name)


class FashionMNIST(MNIST):
    """As MNIST, with pictures of clothes; the folder is `FashionMNIST/raw`."""

    mirrors: ClassVar = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources: ClassVar = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes: ClassVar = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]


class KMNIST(MNIST):
    """As MNIST, with cursive Japanese characters; the folder is `KMNIST/raw`."""

    mirrors: ClassVar = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources: ClassVar = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes: ClassVar = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
