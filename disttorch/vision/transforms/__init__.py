"""Transforms of PIL images and of tensors (..., C, H, W), with torchvision's names and arguments."""

from disttorch.vision.transforms import functional
from disttorch.vision.transforms.color import ColorJitter, GaussianBlur, Grayscale, RandomGrayscale
from disttorch.vision.transforms.containers import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from disttorch.vision.transforms.convert import ConvertImageDtype, Normalize, PILToTensor, ToPILImage, ToTensor
from disttorch.vision.transforms.geometry import (
    CenterCrop,
    FiveCrop,
    Pad,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    TenCrop,
)
from disttorch.vision.transforms.interpolation import InterpolationMode
from disttorch.vision.transforms.randomised import (
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    RandomRotation,
)

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
    "functional",
]
