"""The datasets on files that the tests make."""

import gzip
import hashlib
import pickle
import struct
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import disttorch
from disttorch.vision import datasets
from disttorch.vision.datasets.cifar import load_batch
from disttorch.vision.datasets.folder import make_dataset
from disttorch.vision.datasets.mnist import read_idx
from disttorch.vision.transforms import ToTensor

RNG = np.random.default_rng(0)


# ------------------------------------------------------------------------------------------------------------ digits
def test_digits_are_1797_in_two_parts() -> None:
    train, test = datasets.Digits(), datasets.Digits(train=False)
    assert (len(train), len(test)) == (1442, 355)
    assert train.data.shape == (1442, 8, 8)
    assert train.data.dtype == np.uint8
    assert (train.data.min(), train.data.max()) == (0, 255)
    counts = np.bincount(train.targets) + np.bincount(test.targets)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert min(np.bincount(test.targets)) == 34
    seen = {picture.tobytes() for picture in train.data}
    assert not any(picture.tobytes() in seen for picture in test.data)


def test_digits_give_pictures_and_numbers() -> None:
    picture, label = datasets.Digits()[0]
    assert (picture.mode, picture.size, label) == ("L", (8, 8), 0)
    digits = datasets.Digits(transform=ToTensor(), target_transform=lambda label: label + 100)
    tensor, label = digits[1]
    assert (tensor.shape, tensor.dtype, label) == ((1, 8, 8), disttorch.float32, 101)
    assert tensor.max().item() == pytest.approx(digits.data[1].max() / 255)


def test_digits_say_what_they_are() -> None:
    text = (
        "Dataset Digits\n    Number of datapoints: 355\n    Split: Test\n    StandardTransform\nTransform: ToTensor()"
    )
    assert repr(datasets.Digits(train=False, transform=ToTensor())) == text


def test_without_pillow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from disttorch.vision.pillow import pillow

    digits = datasets.Digits()
    pillow.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'disttorch\[vision\]'"):
        digits[0]
    assert len(digits.data) == 1442


# ------------------------------------------------------------------------------------------------------------- mnist
def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that serves as the mirror, with five pictures to train with and three to test with."""
    resources = []
    for split, count in (("train", 5), ("t10k", 3)):
        images = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count, dtype=np.uint8))):
            content = gzip.compress(idx(array))
            file = tmp_path / f"{split}-{name}-ubyte.gz"
            file.write_bytes(content)
            resources.append((file.name, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"file://{tmp_path}/"])
    return tmp_path


def test_mnist_downloads_reads_and_says_what_it_is(mnist: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    train = datasets.MNIST(str(root), download=True)
    test = datasets.MNIST(root, train=False)
    assert (len(train), len(test)) == (5, 3)
    assert (train.data.shape, train.data.dtype) == ((5, 28, 28), disttorch.uint8)
    assert (train.targets.dtype, train.targets.tolist()) == (disttorch.int64, [0, 1, 2, 3, 4])
    picture, label = train[4]
    assert (picture.mode, picture.size, label, type(label)) == ("L", (28, 28), 4, int)
    assert np.array_equal(np.asarray(picture), train.data[4].numpy())
    assert (root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()
    assert train.class_to_idx["3 - three"] == 3
    assert repr(train) == f"Dataset MNIST\n    Number of datapoints: 5\n    Root location: {root}\n    Split: Train"


def test_mnist_files_put_there_by_hand_need_no_network(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in mnist.glob("*.gz"):
        file.rename(raw / file.name)
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["file:///nowhere/"])
    assert len(datasets.MNIST(tmp_path / "data", download=True)) == 5


def test_mnist_absent_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Dataset not found. You can use download=True to download it"):
        datasets.FashionMNIST(tmp_path)
    good = idx(np.zeros((2, 3), np.uint8))
    for name, content in {
        "short": good[:-1],
        "long": good + b"x",
        "type": b"\0\0\x0d" + good[3:],
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RuntimeError, match=f"{name} is not a whole IDX file of 2-dimensional bytes"):
            read_idx(tmp_path / name, 2)


# ------------------------------------------------------------------------------------------------------------- cifar
def cifar_folder(root: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set's files, with four pictures each."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    label_key = "labels" if kind is datasets.CIFAR10 else "fine_labels"

    def write(name: str, content: dict) -> str:
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(name: str) -> list[str]:
        pictures = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)
        return [name, write(name, {"data": pictures, label_key: [3, 1, 2, 0]})]

    monkeypatch.setattr(kind, "train_list", [batch(name) for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [batch(name) for name, _ in kind.test_list])
    md5 = write(kind.meta["filename"], {kind.meta["key"]: ["a", "b", "c", "d"]})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5})


@pytest.mark.parametrize("kind", [datasets.CIFAR10, datasets.CIFAR100])
def test_cifar_reads_its_files(kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar_folder(tmp_path, kind, monkeypatch)
    train, test = kind(tmp_path), kind(tmp_path, train=False)
    assert (len(train), len(test)) == (4 * len(kind.train_list), 4)
    assert test.targets == [3, 1, 2, 0]
    assert test.class_to_idx == {"a": 0, "b": 1, "c": 2, "d": 3}
    raw = load_batch(tmp_path / kind.base_folder / kind.test_list[0][0])["data"][1].reshape(3, 32, 32)
    picture, label = test[1]
    assert (picture.mode, picture.size, label) == ("RGB", (32, 32), 1)
    assert np.array_equal(np.asarray(picture), raw.transpose(1, 2, 0))


def test_cifar_unpacks_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar_folder(tmp_path / "made", datasets.CIFAR10, monkeypatch)
    archive = tmp_path / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "url", archive.as_uri())
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(RuntimeError, match=r"Dataset not found or corrupted. You can use download=True to download it"):
        datasets.CIFAR10(tmp_path / "data")
    assert len(datasets.CIFAR10(tmp_path / "data", download=True)) == 20


class Attack:
    def __reduce__(self) -> tuple:
        return (exec, ("import pathlib; pathlib.Path('attacked').touch()",))


@pytest.mark.parametrize(
    "content", [pickle.dumps({"data": Attack()}), pickle.dumps({"labels": [1]})[:-4], b"", b"\xff"]
)
def test_cifar_runs_no_code(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("batch").write_bytes(content)
    with pytest.raises(RuntimeError, match="batch is not a CIFAR file"):
        load_batch("batch")
    assert not Path("attacked").exists()


# ------------------------------------------------------------------------------------------------------------ folder
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, name in enumerate(["dog/2.png", "dog/deep/1.jpg", "cat/a.PNG", "cat/notes.txt"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("not a picture")
        else:
            Image.new("L", (5 + index, 4), index).save(path)
    return tmp_path


def test_image_folder(folder: Path) -> None:
    pictures = datasets.ImageFolder(folder)
    assert (pictures.classes, pictures.class_to_idx) == (["cat", "dog"], {"cat": 0, "dog": 1})
    names = [(str(Path(path).relative_to(folder)), label) for path, label in pictures.samples]
    assert names == [("cat/a.PNG", 0), ("dog/2.png", 1), ("dog/deep/1.jpg", 1)]
    assert pictures.imgs is pictures.samples
    assert pictures.targets == [0, 1, 1]
    assert (pictures[1][0].mode, pictures[1][0].size, pictures[1][1]) == ("RGB", (5, 4), 1)
    chosen = datasets.ImageFolder(folder, is_valid_file=lambda path: path.endswith("txt"), allow_empty=True)
    assert len(chosen) == 1


def test_dataset_folder_reads_anything(folder: Path) -> None:
    (folder / "dog" / "x.txt").write_text("x")
    texts = datasets.DatasetFolder(folder, lambda path: Path(path).read_text(), (".txt",), transform=str.upper)
    assert [texts[index] for index in range(2)] == [("NOT A PICTURE", 0), ("X", 1)]


def test_folder_errors(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"Found no valid file for the classes empty. Supported extensions are: "
    ):
        datasets.ImageFolder(folder)
    assert len(datasets.ImageFolder(folder, allow_empty=True)) == 3
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder in"):
        datasets.ImageFolder(folder / "empty")
    with pytest.raises(ValueError, match="cannot be None or not None at the same time"):
        make_dataset(folder, {"dog": 0})


# ------------------------------------------------------------------------------------------------------ fake and base
def test_fake_data_depends_on_the_index_alone() -> None:
    fake = datasets.FakeData(3, (3, 6, 5), num_classes=4, transform=ToTensor())
    again = datasets.FakeData(9, (3, 6, 5), num_classes=4, transform=ToTensor(), random_offset=1)
    picture, label = fake[1]
    assert picture.shape == (3, 6, 5)
    assert 0 <= label < 4
    disttorch.manual_seed(7)
    assert disttorch.equal(again[0][0], picture)
    assert not disttorch.equal(fake[0][0], picture)
    assert len(list(fake)) == 3


def test_both_kinds_of_transform_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="Only transforms or transform/target_transform can be passed as argument"):
        datasets.VisionDataset(transforms=max, transform=min)
