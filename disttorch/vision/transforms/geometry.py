"""Transforms of size and place that need no chance, and flips."""

from collections.abc import Sequence
from typing import Any

from disttorch.nn import Module
from disttorch.vision.transforms import functional
from disttorch.vision.transforms.draw import chance
from disttorch.vision.transforms.interpolation import InterpolationMode, as_mode

Size = int | Sequence[int]


def pair(size: Size, message: str = "Please provide only two dimensions (h, w) for size.") -> tuple[int, int]:
    """A height and a width; one number stands for both. ValueError with `message` for more than two."""
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    sizes = sizes * 2 if len(sizes) == 1 else sizes
    if len(sizes) != 2:
        raise ValueError(message)
    return sizes


class Resize(Module):
    """To `size` (H, W); one number is the length of the shorter side, the longer one at most `max_size`."""

    def __init__(
        self,
        size: Size,
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if not isinstance(size, int | Sequence):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = as_mode(interpolation)

    def forward(self, img: Any) -> Any:
        return functional.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        detail = f"(size={self.size}, interpolation={self.interpolation.value}, max_size={self.max_size}, "
        return f"{type(self).__name__}{detail}antialias={self.antialias})"


class _OfSize(Module):
    """A transform to parts of `size` (H, W), or to squares."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = pair(size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class CenterCrop(_OfSize):
    """The middle part of `size` (H, W), or a square; black where it is larger than the picture."""

    def forward(self, img: Any) -> Any:
        return functional.center_crop(img, self.size)


class FiveCrop(_OfSize):
    """The four corners and the centre, as a tuple."""

    def forward(self, img: Any) -> tuple:
        return functional.five_crop(img, self.size)


class TenCrop(Module):
    """The four corners and the centre of the picture and of its mirror image, as a tuple."""

    def __init__(self, size: Size, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = pair(size), vertical_flip

    def forward(self, img: Any) -> tuple:
        return functional.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, vertical_flip={self.vertical_flip})"


class Pad(Module):
    """Margins: one number for all, (left and right, top and bottom), or (left, top, right, bottom)."""

    def __init__(self, padding: Size, fill: float | Sequence[float] = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        if not isinstance(padding, int | tuple | list):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, int | float | str | tuple | list):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ValueError(
                f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple"
            )
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img: Any) -> Any:
        return functional.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomHorizontalFlip(Module):
    """Left and right exchanged, with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        return functional.hflip(img) if chance(self.p) else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomVerticalFlip(RandomHorizontalFlip):
    """Top and bottom exchanged, with probability `p`."""

    def forward(self, img: Any) -> Any:
        return functional.vflip(img) if chance(self.p) else img
