"""Datasets of pictures, with torchvision's names, arguments and files on disk; `Digits` comes with the package."""

from disttorch.vision.datasets.cifar import CIFAR10, CIFAR100
from disttorch.vision.datasets.digits import Digits
from disttorch.vision.datasets.fakedata import FakeData
from disttorch.vision.datasets.folder import DatasetFolder, ImageFolder
from disttorch.vision.datasets.mnist import KMNIST, MNIST, FashionMNIST
from disttorch.vision.datasets.vision import VisionDataset

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "DatasetFolder",
    "Digits",
    "FakeData",
    "FashionMNIST",
    "ImageFolder",
    "VisionDataset",
]
