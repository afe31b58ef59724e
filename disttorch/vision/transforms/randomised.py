"""Transforms of size and place whose parameters are drawn anew for each picture."""

import math
from collections.abc import Sequence
from typing import Any

import disttorch
from disttorch import Tensor
from disttorch.nn import Module
from disttorch.vision.transforms import functional
from disttorch.vision.transforms.draw import chance, integer, uniform
from disttorch.vision.transforms.geometry import Size, pair
from disttorch.vision.transforms.interpolation import InterpolationMode, as_mode

Fill = float | Sequence[float]
TRIES = 10  # how often a rectangle that does not fit is drawn again


def angles(value: float | Sequence[float], name: str, lengths: tuple[int, ...] = (2,)) -> list[float]:
    """The range of an angle: one number x stands for -x to x."""
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(value), float(value)]
    if not isinstance(value, Sequence) or len(value) not in lengths:
        raise ValueError(f"{name} should be a sequence of length {' or '.join(map(str, lengths))}.")
    return [float(angle) for angle in value]


class RandomCrop(Module):
    """A part of `size` (H, W) from a random place, after `padding` (always, or only where the picture is too small)."""

    def __init__(
        self,
        size: Size,
        padding: Size | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size = pair(size)
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """top, left, height, width"""
        _, h, w = functional.get_dimensions(img)
        th, tw = output_size
        if h < th or w < tw:
            raise ValueError(f"Required crop size {(th, tw)} is larger than input image size {(h, w)}")
        if (h, w) == (th, tw):
            return 0, 0, h, w
        return integer(h - th + 1), integer(w - tw + 1), th, tw

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = functional.pad(img, self.padding, self.fill, self.padding_mode)
        _, height, width = functional.get_dimensions(img)
        if self.pad_if_needed:
            wide, high = max(self.size[1] - width, 0), max(self.size[0] - height, 0)
            if wide or high:
                img = functional.pad(img, [wide, high], self.fill, self.padding_mode)
        return functional.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class RandomResizedCrop(Module):
    """A random part, of `scale` of the picture's area and of `ratio` width to height, resized to `size`."""

    def __init__(
        self,
        size: Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if not isinstance(scale, Sequence):
            raise TypeError("Scale should be a sequence")
        if not isinstance(ratio, Sequence):
            raise TypeError("Ratio should be a sequence")
        self.size, self.scale, self.ratio, self.antialias = pair(size), scale, ratio, antialias
        self.interpolation = as_mode(interpolation)

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """top, left, height, width"""
        _, height, width = functional.get_dimensions(img)
        for _ in range(TRIES):
            area = height * width * uniform(scale[0], scale[1])
            aspect = math.exp(uniform(math.log(ratio[0]), math.log(ratio[1])))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return integer(height - h + 1), integer(width - w + 1), h, w
        # nothing fitted: the largest part in the middle whose ratio is allowed
        w, h = width, height
        if width / height < min(ratio):
            h = round(width / min(ratio))
        elif width / height > max(ratio):
            w = round(height * max(ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def forward(self, img: Any) -> Any:
        box = self.get_params(img, self.scale, self.ratio)
        return functional.resized_crop(img, *box, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(limit, 4) for limit in limits) for limits in (self.scale, self.ratio))
        detail = f"(size={self.size}, scale={scale}, ratio={ratio}, interpolation={self.interpolation.value}, "
        return f"{type(self).__name__}{detail}antialias={self.antialias})"


class RandomRotation(Module):
    """Turned by a random angle within `degrees`: (least, most), or one number for both directions."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Fill = 0,
    ) -> None:
        super().__init__()
        self.degrees = angles(degrees, "degrees")
        self.interpolation = as_mode(interpolation)
        self.expand, self.center, self.fill = expand, center, fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        return uniform(degrees[0], degrees[1])

    def forward(self, img: Any) -> Any:
        angle = self.get_params(self.degrees)
        return functional.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        detail = f"degrees={self.degrees}, interpolation={self.interpolation.value}, expand={self.expand}"
        if self.center is not None:
            detail += f", center={self.center}"
        if self.fill is not None:
            detail += f", fill={self.fill}"
        return f"{type(self).__name__}({detail})"


class RandomAffine(Module):
    """Turned by up to `degrees`, moved by up to `translate` of its size, scaled and sheared at random."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: Fill = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.degrees = angles(degrees, "degrees")
        if translate is not None and not all(0.0 <= share <= 1.0 for share in translate):
            raise ValueError("translation values should be between 0 and 1")
        if scale is not None and not all(factor > 0 for factor in scale):
            raise ValueError("scale values should be positive")
        self.translate, self.scale = translate, scale
        self.shear = angles(shear, "shear", (2, 4)) if shear is not None else None
        self.interpolation = as_mode(interpolation)
        self.fill, self.center = fill, center

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """angle, (right, down) in pixels, scale, (shear x, shear y); `img_size` is (W, H)"""
        angle = uniform(degrees[0], degrees[1])
        moves = [share * side for share, side in zip(translate or (), img_size, strict=False)]
        right, down = [round(uniform(-most, most)) for most in moves] or (0, 0)
        scale = uniform(scale_ranges[0], scale_ranges[1]) if scale_ranges is not None else 1.0
        shear_x = uniform(shears[0], shears[1]) if shears is not None else 0.0
        shear_y = uniform(shears[2], shears[3]) if shears is not None and len(shears) == 4 else 0.0
        return angle, (right, down), scale, (shear_x, shear_y)

    def forward(self, img: Any) -> Any:
        size = functional.get_image_size(img)
        params = self.get_params(self.degrees, self.translate, self.scale, self.shear, size)
        return functional.affine(img, *params, self.interpolation, self.fill, self.center)

    def __repr__(self) -> str:
        detail = f"degrees={self.degrees}"
        for name in ("translate", "scale", "shear"):
            if getattr(self, name) is not None:
                detail += f", {name}={getattr(self, name)}"
        if self.interpolation is not InterpolationMode.NEAREST:
            detail += f", interpolation={self.interpolation.value}"
        if self.fill != 0:
            detail += f", fill={self.fill}"
        if self.center is not None:
            detail += f", center={self.center}"
        return f"{type(self).__name__}({detail})"


class RandomErasing(Module):
    """With probability `p`, a random rectangle of a tensor replaced by `value`: a number, one a channel, or "random".

    From Z. Zhong and others, Random Erasing Data Augmentation (2017), https://arxiv.org/abs/1708.04896.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    @staticmethod
    def get_params(
        img: Tensor, scale: Sequence[float], ratio: Sequence[float], value: Sequence[float] | None
    ) -> tuple[int, int, int, int, Tensor]:
        """top, left, height, width and what comes there; noise where `value` is None"""
        channels, height, width = img.shape[-3:]
        for _ in range(TRIES):
            area = height * width * uniform(scale[0], scale[1])
            aspect = math.exp(uniform(math.log(ratio[0]), math.log(ratio[1])))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < height and w < width:
                new = disttorch.randn(channels, h, w) if value is None else disttorch.tensor(value)[:, None, None]
                return integer(height - h + 1), integer(width - w + 1), h, w, new
        return 0, 0, height, width, img

    def forward(self, img: Tensor) -> Tensor:
        if not chance(self.p):
            return img
        value = self.value
        if isinstance(value, int | float):
            value = [float(value)]
        elif value == "random":
            value = None
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                f"If value is a sequence, it should have either a single value or {img.shape[-3]} (number of input "
                "channels)"
            )
        return functional.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self) -> str:
        detail = f"(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, inplace={self.inplace})"
        return f"{type(self).__name__}{detail}"
