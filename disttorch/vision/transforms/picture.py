"""The transforms on PIL images; functional.py has checked the arguments."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from disttorch.vision.pillow import pillow
from disttorch.vision.transforms.interpolation import PILLOW_CODES, InterpolationMode

Fill = float | Sequence[float] | None


def dimensions(img: Any) -> list[int]:
    return [len(img.getbands()), img.height, img.width]


def resize(img: Any, size: list[int], mode: InterpolationMode) -> Any:
    return img.resize(tuple(size[::-1]), PILLOW_CODES[mode])


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    return img.crop((left, top, left + width, top + height))


def pad(img: Any, left: int, top: int, right: int, bottom: int, fill: Fill, mode: str) -> Any:
    if mode == "constant":
        size = (img.width + left + right, img.height + top + bottom)
        canvas = pillow().new(img.mode, size, color(img, fill))
        if img.mode == "P":
            canvas.putpalette(img.palette)
        canvas.paste(img, (left, top))
        return canvas
    cropped = crop(
        img,
        max(-top, 0),
        max(-left, 0),
        img.height + min(top, 0) + min(bottom, 0),
        img.width + min(left, 0) + min(right, 0),
    )
    pixels = np.asarray(cropped)
    around = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))] + [(0, 0)] * (pixels.ndim - 2)
    padded = pillow().fromarray(np.pad(pixels, around, mode))
    if img.mode == "P":
        padded.putpalette(img.palette)
    return padded


def flip(img: Any, horizontal: bool) -> Any:
    transpose = pillow().Transpose
    return img.transpose(transpose.FLIP_LEFT_RIGHT if horizontal else transpose.FLIP_TOP_BOTTOM)


def rotate(
    img: Any, angle: float, mode: InterpolationMode, expand: bool, center: Sequence[float] | None, fill: Fill
) -> Any:
    return img.rotate(angle, PILLOW_CODES[mode], expand, center, fillcolor=color(img, fill))


def warp(img: Any, inverse: np.ndarray, mode: InterpolationMode, fill: Fill) -> Any:
    """Each pixel of the result comes from where the matrix `inverse` (3, 3) sends its centre."""
    coefficients = tuple(inverse[:2].reshape(-1).tolist())
    return img.transform(
        img.size, pillow().Transform.AFFINE, coefficients, PILLOW_CODES[mode], fillcolor=color(img, fill)
    )


def color(img: Any, fill: Fill) -> float | tuple[float, ...]:
    """`fill` as Pillow wants it: one number a band. ValueError when their numbers differ."""
    bands = len(img.getbands())
    values = list(fill) if isinstance(fill, Sequence) else [fill or 0] * bands
    if len(values) == 1:
        values *= bands
    if len(values) != bands:
        raise ValueError(
            "The number of elements in 'fill' does not match the number of channels of the image "
            f"({len(values)} != {bands})"
        )
    if img.mode not in ("F", "I"):
        values = [int(value) for value in values]
    return values[0] if bands == 1 else tuple(values)


def grayscale(img: Any, channels: int) -> Any:
    gray = img.convert("L")
    return gray if channels == 1 else pillow().merge("RGB", [gray] * 3)


def enhance(img: Any, what: str, factor: float) -> Any:
    """`what`: "Brightness", "Contrast" or "Color"."""
    return getattr(pillow("ImageEnhance"), what)(img).enhance(factor)


def adjust_hue(img: Any, factor: float) -> Any:
    if img.mode in ("1", "L", "I", "F"):
        return img
    hue, saturation, value = img.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(int(factor * 255) % 256)  # wraps round, as hue does
    return pillow().merge("HSV", (pillow().fromarray(turned), saturation, value)).convert(img.mode)
