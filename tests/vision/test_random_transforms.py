"""Transforms that draw their parameters; every transform's printed form and errors, which are torchvision's."""

import math
import random

import numpy as np
import pytest
from PIL import Image

import disttorch
from disttorch.vision import transforms as T
from disttorch.vision.transforms import functional as F

PIXELS = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)


def picture() -> Image.Image:
    return Image.fromarray(PIXELS)


def tensor() -> disttorch.Tensor:
    """The same picture's bytes, (C, 13, 17)."""
    return F.pil_to_tensor(picture())


def test_the_seed_governs_every_choice() -> None:
    chain = T.Compose(
        [
            T.RandomResizedCrop(9),
            T.ColorJitter(0.4, 0.4, 0.4, 0.1),
            T.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 5),
            T.RandomApply([T.GaussianBlur(3)], 0.5),
            T.ToTensor(),
            T.RandomErasing(),
        ]
    )

    def run(seed: int) -> np.ndarray:
        disttorch.manual_seed(seed)
        return np.stack([chain(picture()).numpy() for _ in range(4)])

    assert np.array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))


def test_random_crops_lie_everywhere_inside() -> None:
    boxes = {T.RandomCrop.get_params(tensor(), (12, 16)) for _ in range(50)}
    assert boxes == {(top, left, 12, 16) for top in (0, 1) for left in (0, 1)}
    assert T.RandomCrop((13, 17)).get_params(tensor(), (13, 17)) == (0, 0, 13, 17)
    assert F.get_dimensions(T.RandomCrop(20, pad_if_needed=True)(picture())) == [3, 20, 20]
    assert F.get_dimensions(T.RandomCrop(16, padding=2)(tensor())) == [3, 16, 16]
    with pytest.raises(ValueError, match=r"Required crop size \(20, 20\) is larger than input image size \(13, 17\)"):
        T.RandomCrop(20)(picture())


def test_random_resized_crops_keep_to_scale_and_ratio() -> None:
    image = disttorch.zeros(1, 100, 200)
    for _ in range(30):
        top, left, height, width = T.RandomResizedCrop.get_params(image, (0.2, 0.5), (0.5, 2.0))
        assert 0 <= top <= 100 - height
        assert 0 <= left <= 200 - width
        assert 0.19 <= height * width / 20_000 <= 0.51
        assert 0.48 <= width / height <= 2.06
    assert T.RandomResizedCrop.get_params(image, (1.0, 1.0), (0.9, 1.1)) == (0, 45, 100, 110)


def test_random_angles_and_moves_keep_to_their_ranges() -> None:
    for _ in range(30):
        assert -5 <= T.RandomRotation.get_params((-5, 10)) <= 10
        angle, moves, scale, shears = T.RandomAffine.get_params((1, 2), (0.5, 0.1), (3, 4), (5, 6, 7, 8), (20, 10))
        assert 1 <= angle <= 2
        assert abs(moves[0]) <= 10
        assert abs(moves[1]) <= 1
        assert 3 <= scale <= 4
        assert 5 <= shears[0] <= 6
        assert 7 <= shears[1] <= 8


def test_transforms_of_transforms() -> None:
    random.seed(1)
    add, double = T.Lambda(lambda x: x + 1), T.Lambda(lambda x: x * 2)
    assert T.Compose([add, double])(1) == 4
    assert {T.RandomOrder([add, double])(1) for _ in range(20)} == {3, 4}
    assert {T.RandomChoice([add, double])(5) for _ in range(20)} == {6, 10}
    assert {T.RandomChoice([add, double], p=[0, 1])(5) for _ in range(20)} == {10}
    assert {T.RandomApply([add, double])(1) for _ in range(20)} == {1, 4}
    applied = sum(T.RandomApply([add], 0.25)(0) for _ in range(400))
    assert math.isclose(applied, 100, abs_tol=40)  # four and a half standard deviations


PRINTED = """Compose(
    Resize(size=3, interpolation=bilinear, max_size=None, antialias=True)
    CenterCrop(size=(3, 3))
    RandomCrop(size=(3, 3), padding=4)
    RandomHorizontalFlip(p=0.5)
    RandomVerticalFlip(p=0.2)
    RandomRotation(degrees=[-10.0, 10.0], interpolation=nearest, expand=False, fill=0)
    RandomRotation(degrees=[1.0, 2.0], interpolation=nearest, expand=False, center=(1, 1), fill=3)
    RandomResizedCrop(size=(3, 3), scale=(0.08, 1.0), ratio=(0.75, 1.3333), interpolation=bilinear, antialias=True)
    Pad(padding=(1, 2), fill=1, padding_mode=reflect)
    Grayscale(num_output_channels=1)
    RandomGrayscale(p=0.1)
    ColorJitter(brightness=(0.9, 1.1), contrast=(0.8, 1.2), saturation=None, hue=(-0.4, 0.4))
    RandomErasing(p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False)
    RandomAffine(degrees=[-10.0, 10.0])
    RandomAffine(degrees=[-10.0, 10.0], translate=(0.1, 0.2), scale=(0.3, 0.4), shear=[-5.0, 5.0], fill=2)
    Lambda()
    RandomApply(
    p=0.5
    ToTensor()
)
    RandomChoice(
    ToTensor()
)(p=None)
    FiveCrop(size=(2, 2))
    TenCrop(size=(2, 2), vertical_flip=False)
    ConvertImageDtype()
    ToPILImage()
    ToPILImage(mode=L)
    PILToTensor()
    GaussianBlur(kernel_size=(3, 3), sigma=(0.1, 2.0))
    ToTensor()
    Normalize(mean=(0.5,), std=(0.5,))
)"""


def test_printed_forms_are_torchvisions() -> None:
    chain = T.Compose(
        [
            T.Resize(3),
            T.CenterCrop(3),
            T.RandomCrop(3, padding=4),
            T.RandomHorizontalFlip(),
            T.RandomVerticalFlip(0.2),
            T.RandomRotation(10),
            T.RandomRotation((1, 2), center=(1, 1), fill=3),
            T.RandomResizedCrop(3),
            T.Pad((1, 2), 1, "reflect"),
            T.Grayscale(),
            T.RandomGrayscale(),
            T.ColorJitter(0.1, 0.2, 0, 0.4),
            T.RandomErasing(),
            T.RandomAffine(10),
            T.RandomAffine(10, (0.1, 0.2), (0.3, 0.4), 5, fill=2),
            T.Lambda(str),
            T.RandomApply([T.ToTensor()]),
            T.RandomChoice([T.ToTensor()]),
            T.FiveCrop(2),
            T.TenCrop(2),
            T.ConvertImageDtype(disttorch.float32),
            T.ToPILImage(),
            T.ToPILImage("L"),
            T.PILToTensor(),
            T.GaussianBlur(3),
            T.ToTensor(),
            T.Normalize((0.5,), (0.5,)),
        ]
    )
    assert repr(chain) == PRINTED


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: T.Resize((1, 2, 3)), ValueError, "If size is a sequence, it should have 1 or 2 values"),
        (lambda: T.Resize(2.5), TypeError, "Size should be int or sequence. Got <class 'float'>"),
        (lambda: T.CenterCrop((1, 2, 3)), ValueError, "Please provide only two dimensions (h, w) for size."),
        (lambda: T.Pad("a"), TypeError, "Got inappropriate padding arg"),
        (lambda: T.Pad(1, padding_mode="x"), ValueError, "Padding mode should be either constant, edge, reflect or "
                                                         "symmetric"),
        (lambda: T.Pad((1, 2, 3)), ValueError, "Padding must be an int or a 1, 2, or 4 element tuple, not a 3 element "
                                               "tuple"),
        (lambda: T.RandomRotation(-1), ValueError, "If degrees is a single number, it must be positive."),
        (lambda: T.RandomRotation((1, 2, 3)), ValueError, "degrees should be a sequence of length 2."),
        (lambda: T.RandomAffine(3, translate=(2, 2)), ValueError, "translation values should be between 0 and 1"),
        (lambda: T.RandomAffine(3, scale=(0, 1)), ValueError, "scale values should be positive"),
        (lambda: T.ColorJitter(-1), ValueError, "If brightness is a single number, it must be non negative."),
        (lambda: T.ColorJitter(hue=0.7), ValueError, "hue values should be between (-0.5, 0.5), but got [-0.7, 0.7]."),
        (lambda: T.ColorJitter("a"), TypeError, "brightness should be a single number or a list/tuple with length 2."),
        (lambda: T.RandomErasing(p=2), ValueError, "Random erasing probability should be between 0 and 1"),
        (lambda: T.RandomErasing(value="a"), ValueError, "If value is str, it should be 'random'"),
        (lambda: T.RandomErasing(scale=(2, 3)), ValueError, "Scale should be between 0 and 1"),
        (lambda: T.GaussianBlur(2), ValueError, "Kernel size value should be an odd and positive number."),
        (lambda: T.RandomChoice(3), TypeError, "Argument transforms should be a sequence"),
        (lambda: T.Lambda(3), TypeError, "Argument lambd should be callable, got 'int'"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(build: object, error: type, text: str) -> None:
    with pytest.raises(error) as raised:
        build()
    assert str(raised.value) == text
