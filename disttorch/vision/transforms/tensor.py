"""The transforms on tensors (..., C, H, W); functional.py has checked the arguments."""

from collections.abc import Sequence

import numpy as np

import disttorch
from disttorch import Tensor
from disttorch.nn import functional
from disttorch.vision.transforms.interpolation import InterpolationMode

RED, GREEN, BLUE = 0.2989, 0.587, 0.114  # the eye's shares of brightness, ITU-R BT.601


def dimensions(img: Tensor) -> list[int]:
    return [1 if img.ndim == 2 else img.shape[-3], img.shape[-2], img.shape[-1]]


def brightest(dtype: disttorch.dtype) -> float:
    """The value of white."""
    return 1.0 if dtype.is_floating_point else disttorch.iinfo(dtype).max


def rounded(img: Tensor, dtype: disttorch.dtype) -> Tensor:
    """`img` as `dtype`, whole numbers rounded and held within the type's range."""
    if dtype.is_floating_point:
        return img.to(dtype)
    limits = disttorch.iinfo(dtype)
    return img.round().clamp(limits.min, limits.max).to(dtype)


def resize(img: Tensor, size: list[int], mode: InterpolationMode, antialias: bool) -> Tensor:
    """By `interpolate`, in floating point: it is differentiable, and runs on any device."""
    floating = img if img.is_floating_point() else img.to(disttorch.float32)
    batch = floating.reshape(-1, 1, *img.shape[-2:])
    smooth = mode not in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT)
    resized = functional.interpolate(batch, size, mode=mode.value, antialias=antialias and smooth)
    return rounded(resized.reshape(*img.shape[:-2], *size), img.dtype)


def take(img: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    """The picture of the named rows and columns."""
    rows, columns = (disttorch.from_numpy(index).to(img.device) for index in (rows, columns))
    return img.index_select(-2, rows).index_select(-1, columns)


def crop(img: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """What lies outside the picture is zero."""
    old_height, old_width = img.shape[-2:]
    inside = img[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    around = [
        max(-left, 0) - max(-left - width, 0),
        max(-top, 0) - max(-top - height, 0),
        max(left + width - old_width, 0) - max(left - old_width, 0),
        max(top + height - old_height, 0) - max(top - old_height, 0),
    ]
    return pad(inside, *around, 0, "constant") if any(around) else inside


def pad(img: Tensor, left: int, top: int, right: int, bottom: int, fill: float, mode: str) -> Tensor:
    height, width = img.shape[-2:]
    kept = img[..., max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
    left, top, right, bottom = (max(margin, 0) for margin in (left, top, right, bottom))
    if mode == "constant":
        return functional.pad(kept, (left, right, top, bottom), value=fill)
    rows = np.pad(np.arange(kept.shape[-2]), (top, bottom), mode)
    columns = np.pad(np.arange(kept.shape[-1]), (left, right), mode)
    return take(kept, rows, columns)


def flip(img: Tensor, horizontal: bool) -> Tensor:
    return img.flip(-1 if horizontal else -2)


def warp(
    img: Tensor, inverse: np.ndarray, size: Sequence[int], mode: InterpolationMode, fill: float | Sequence[float] | None
) -> Tensor:
    """Each pixel of the result, of `size` (H, W), comes from where the matrix `inverse` (3, 3) sends its centre."""
    height, width = img.shape[-2:]
    y, x = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5, indexing="ij")
    x, y, _ = (inverse @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])).reshape(3, *size) - 0.5
    floating = img if img.is_floating_point() else img.to(disttorch.float32)

    def gather(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> tuple[Tensor, Tensor]:
        """Those pixels and their weights, zero outside the picture."""
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        index = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
        flat = disttorch.from_numpy(index.astype(np.int64).ravel()).to(img.device)
        pixels = floating.flatten(-2).index_select(-1, flat).reshape(*img.shape[:-2], *size)
        share = disttorch.from_numpy(np.where(inside, weights, 0.0)).to(img.device, floating.dtype)
        return pixels * share, share

    if mode is InterpolationMode.NEAREST:
        corners = [gather(np.round(y), np.round(x), np.ones(x.shape))]
    else:
        top, left = np.floor(y), np.floor(x)
        down, right = y - top, x - left
        corners = [
            gather(top, left, (1 - down) * (1 - right)),
            gather(top, left + 1, (1 - down) * right),
            gather(top + 1, left, down * (1 - right)),
            gather(top + 1, left + 1, down * right),
        ]
    warped, covered = (sum(parts[1:], parts[0]) for parts in zip(*corners, strict=True))
    if fill is not None:
        color = disttorch.tensor(fill, dtype=floating.dtype, device=img.device).reshape(-1, 1, 1)
        warped = warped * covered + (1 - covered) * color
    return rounded(warped, img.dtype)


def grayscale(img: Tensor, channels: int) -> Tensor:
    if img.shape[-3] == 3:
        red, green, blue = img.unbind(-3)
        img = (RED * red + GREEN * green + BLUE * blue).to(img.dtype).unsqueeze(-3)
    return img if channels == 1 else img.expand(*img.shape[:-3], channels, *img.shape[-2:]).clone()


def blend(img: Tensor, other: Tensor | float, factor: float) -> Tensor:
    return (factor * img + (1.0 - factor) * other).clamp(0, brightest(img.dtype)).to(img.dtype)


def mean_gray(img: Tensor) -> Tensor:
    gray = grayscale(img, 1)
    gray = gray if gray.is_floating_point() else gray.to(disttorch.float32)
    return gray.mean((-3, -2, -1), keepdim=True)


def adjust_hue(img: Tensor, factor: float) -> Tensor:
    if img.shape[-3] == 1:
        return img
    scaled = img if img.is_floating_point() else img.to(disttorch.float32) / brightest(img.dtype)
    hue, saturation, value = rgb_to_hsv(scaled)
    turned = hsv_to_rgb((hue + factor) % 1.0, saturation, value)
    return (
        turned.to(img.dtype) if img.is_floating_point() else (turned * (brightest(img.dtype) + 1 - 1e-3)).to(img.dtype)
    )


def rgb_to_hsv(img: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value in 0..1 (A. R. Smith, Color gamut transform pairs, 1978)."""
    red, green, blue = img.unbind(-3)
    value, darkest = img.amax(-3), img.amin(-3)
    spread = value - darkest
    gray = spread == 0
    divisor = disttorch.where(gray, disttorch.ones_like(spread), spread)
    from_red = ((green - blue) / divisor) % 6.0
    from_green = (blue - red) / divisor + 2.0
    from_blue = (red - green) / divisor + 4.0
    hue = disttorch.where(value == red, from_red, disttorch.where(value == green, from_green, from_blue)) / 6.0
    saturation = spread / disttorch.where(value == 0, disttorch.ones_like(value), value)
    return disttorch.where(gray, disttorch.zeros_like(hue), hue), saturation, value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Each channel is the value less what the hue's distance from it takes away (the one formula for all sectors)."""
    channels = []
    for sector in (5.0, 3.0, 1.0):
        k = (sector + hue * 6.0) % 6.0
        away = disttorch.minimum(k, 4.0 - k).clamp(0.0, 1.0)
        channels.append(value - value * saturation * away)
    return disttorch.stack(channels, -3)


def gaussian_blur(img: Tensor, size: Sequence[int], sigma: Sequence[float]) -> Tensor:
    """`size` and `sigma` are given for x and y."""
    across, down = (gaussian(n, s) for n, s in zip(size, sigma, strict=True))
    floating = img if img.is_floating_point() else img.to(disttorch.float32)
    weight = disttorch.from_numpy(np.outer(down, across)).to(img.device, floating.dtype)
    x, y = size[0] // 2, size[1] // 2
    padded = pad(floating, x, y, x, y, 0, "reflect")
    batch = padded.reshape(-1, 1, *padded.shape[-2:])
    return rounded(functional.conv2d(batch, weight[None, None]).reshape(img.shape), img.dtype)


def gaussian(size: int, sigma: float) -> np.ndarray:
    x = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()
