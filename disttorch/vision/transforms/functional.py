"""Transforms as functions, of PIL images and of tensors (..., C, H, W)."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import disttorch
from disttorch import Tensor
from disttorch.vision.pillow import is_picture, pillow
from disttorch.vision.transforms import picture
from disttorch.vision.transforms import tensor as tensors
from disttorch.vision.transforms.interpolation import InterpolationMode, as_mode

Size = int | Sequence[int]
Fill = float | Sequence[float] | None

# What a picture of so many channels may be called; the first is the usual name.
MODES = {2: ["LA"], 3: ["RGB", "YCbCr", "HSV"], 4: ["RGBA", "CMYK", "RGBX"]}
GRAY_MODES = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}
ARRAY_TYPES = {"1": np.uint8, "I": np.int32, "I;16": np.int16, "F": np.float32}  # of Pillow's modes that differ


def _room(img: Any) -> Any:
    """The file that transforms this kind of picture; both have the same functions."""
    if is_picture(img):
        return picture
    if isinstance(img, Tensor):
        return tensors
    raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width]"""
    return _room(img).dimensions(img)


def get_image_size(img: Any) -> list[int]:
    """[width, height]"""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img: Any) -> int:
    """The number of channels of a picture or a tensor (..., C, H, W)."""
    return get_dimensions(img)[0]


def _pixels(pic: Any, dtype: type | None = None) -> np.ndarray:
    """A PIL image as a new array (C, H, W)."""
    array = np.array(pic, dtype)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or array (H, W[, C]) as a tensor (C, H, W); bytes become floats in 0..1."""
    if is_picture(pic):
        array = _pixels(pic, ARRAY_TYPES.get(pic.mode))
        array = array * np.uint8(255) if pic.mode == "1" else array
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = np.array(pic[None] if pic.ndim == 2 else pic.transpose(2, 0, 1), order="C")
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    if array.dtype != np.uint8:
        return disttorch.from_numpy(array)
    default = disttorch.get_default_dtype()
    wide = np.float64 if default is disttorch.float64 else np.float32
    return disttorch.from_numpy(np.divide(array, 255, dtype=wide)).to(default)


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a tensor (C, H, W), its values unchanged."""
    if not is_picture(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    return disttorch.from_numpy(_pixels(pic))


def to_pil_image(pic: Tensor | np.ndarray, mode: str | None = None) -> Any:
    """A tensor ([C,] H, W) or array (H, W[, C]) as a PIL image; floats in 0..1 become bytes (mode "F" keeps them).

    Raises TypeError for another type of `pic` or of its values, ValueError for a shape or mode that does not fit.
    """
    if isinstance(pic, Tensor):
        array = pic.detach().cpu().numpy()
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    elif isinstance(pic, np.ndarray):
        array = pic
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if array.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
    if np.issubdtype(array.dtype, np.floating) and mode != "F":
        with np.errstate(invalid="ignore"):  # what is not a number has no right value
            array = (array * 255).astype(np.int64).astype(np.uint8)  # outside 0..1 it wraps round, as in C
    array = array[:, :, None] if array.ndim == 2 else array
    height, width, channels = array.shape
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if channels == 1:
        expected = GRAY_MODES.get(str(array.dtype))
        if mode is not None and mode != expected:
            raise ValueError(f"Incorrect mode ({mode}) supplied for input type {array.dtype}. Should be {expected}")
        mode = expected
    else:
        if mode is not None and mode not in MODES[channels]:
            raise ValueError(f"Only modes {MODES[channels]} are supported for {channels}-channel inputs, got {mode!r}")
        mode = (mode or MODES[channels][0]) if array.dtype == np.uint8 else None
    if mode is None:
        raise TypeError(f"Input type {array.dtype} is not supported")
    return pillow().frombytes(mode, (width, height), np.ascontiguousarray(array).tobytes())


def convert_image_dtype(image: Tensor, dtype: disttorch.dtype = disttorch.float32) -> Tensor:
    """`image` with values of `dtype`, scaled so that white stays white (1.0, or the largest whole number).

    Raises RuntimeError where a float cannot hold all the whole numbers of `dtype`.
    """
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    if image.dtype == dtype:
        return image
    if image.is_floating_point():
        if dtype.is_floating_point:
            return image.to(dtype)
        wide = {disttorch.float32: (disttorch.int32, disttorch.int64), disttorch.float64: (disttorch.int64,)}
        if dtype in wide.get(image.dtype, ()):
            raise RuntimeError(f"The cast from {image.dtype} to {dtype} cannot be performed safely.")
        return (image * (tensors.brightest(dtype) + 1.0 - 1e-3)).to(dtype)
    if dtype.is_floating_point:
        return image.to(dtype) / tensors.brightest(image.dtype)
    old, new = tensors.brightest(image.dtype) + 1, tensors.brightest(dtype) + 1
    if old > new:
        return disttorch.div(image, old // new, rounding_mode="floor").to(dtype)
    return image.to(dtype) * (new // old)


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """(tensor - mean) / std, channel by channel."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.size()}"
        )
    if 0.0 in map(float, std):
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by zero.")
    shift, scale = (_per_channel(tuple(map(float, values)), tensor.dtype, tensor.device) for values in (mean, std))
    return (tensor.sub_(shift) if inplace else tensor - shift).div_(scale)


@functools.lru_cache(maxsize=64)
def _per_channel(values: tuple[float, ...], dtype: disttorch.dtype, device: disttorch.device) -> Tensor:
    return disttorch.tensor(values, dtype=dtype, device=device).reshape(-1, 1, 1)


def resize(
    img: Any,
    size: Size,
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """`img` at `size` (H, W); one number is the length of the shorter side, the longer one at most `max_size`.

    Pictures are always antialiased; for tensors `antialias` says so.
    """
    mode = as_mode(interpolation)
    _, height, width = get_dimensions(img)
    target = _resized(height, width, size, max_size)
    if target == [height, width]:
        return img
    if is_picture(img):
        return picture.resize(img, target, mode)
    _only(mode, "NEAREST", "NEAREST_EXACT", "BILINEAR", "BICUBIC")
    return tensors.resize(img, target, mode, bool(antialias))


def _resized(height: int, width: int, size: Size, max_size: int | None) -> list[int]:
    sizes = [size] if isinstance(size, int) else list(size)
    if len(sizes) not in (1, 2):
        raise ValueError("If size is a sequence, it should have 1 or 2 values")
    if len(sizes) == 2:
        if max_size is not None:
            raise ValueError(
                "max_size should only be passed if size specifies the length of the smaller edge, i.e. size should be "
                "an int or a sequence of length 1 in torchscript mode."
            )
        return sizes
    short, long = sorted((height, width))
    new_short, new_long = sizes[0], int(sizes[0] * long / short)
    if max_size is not None:
        if max_size <= sizes[0]:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge "
                f"size = {size}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_short, new_long] if height <= width else [new_long, new_short]


def _only(mode: InterpolationMode, *names: str) -> None:
    if mode.name not in names:
        raise ValueError(f"Interpolation mode {mode.value!r} is not for tensors here; use one of {', '.join(names)}")


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part of that size from (top, left); black where it reaches beyond the picture."""
    return _room(img).crop(img, top, left, height, width)


def _pair(size: Size) -> list[int]:
    sizes = [size] if isinstance(size, int) else list(size)
    return sizes * 2 if len(sizes) == 1 else sizes


def center_crop(img: Any, output_size: Size) -> Any:
    """The middle part of `output_size` (H, W), or of a square; black where it is larger than the picture."""
    _, height, width = get_dimensions(img)
    new_height, new_width = _pair(output_size)
    if new_height > height or new_width > width:
        left, top = max((new_width - width) // 2, 0), max((new_height - height) // 2, 0)
        right, bottom = max((new_width - width + 1) // 2, 0), max((new_height - height + 1) // 2, 0)
        img = pad(img, [left, top, right, bottom])
        height, width = max(height, new_height), max(width, new_width)
    return crop(img, round((height - new_height) / 2.0), round((width - new_width) / 2.0), new_height, new_width)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Size,
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """`crop`, then `resize` to `size`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def pad(img: Any, padding: Size, fill: Fill = 0, padding_mode: str = "constant") -> Any:
    """`img` with margins: one number for all, two for (left, right) and (top, bottom), or left, top, right, bottom.

    `padding_mode`: "constant" (with `fill`), "edge", "reflect" (without the edge) or "symmetric" (with it).
    """
    margins = [padding] if isinstance(padding, int) else list(padding)
    if len(margins) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(margins)} element tuple")
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    left, top, right, bottom = (margins * (4 // len(margins)))[:4]
    return _room(img).pad(img, left, top, right, bottom, fill, padding_mode)


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return _room(img).flip(img, horizontal=True)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return _room(img).flip(img, horizontal=False)


def five_crop(img: Any, size: Size) -> tuple:
    """The four corners (top left, top right, bottom left, bottom right) and the centre, each of `size` (H, W)."""
    _, height, width = get_dimensions(img)
    h, w = _pair(size)
    if w > width or h > height:
        raise ValueError(f"Requested crop size {(h, w)} is bigger than input size {(height, width)}")
    corners = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w)]
    return (*(crop(img, top, left, h, w) for top, left in corners), center_crop(img, [h, w]))


def ten_crop(img: Any, size: Size, vertical_flip: bool = False) -> tuple:
    """`five_crop` of the picture and of its mirror image."""
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


def rotate(
    img: Any,
    angle: float,
    interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Fill = None,
) -> Any:
    """`img` turned by `angle` degrees, counter-clockwise, about `center` (x, y) or the middle.

    With `expand` the result is large enough to hold all of it (about the middle only).
    """
    mode = as_mode(interpolation)
    if is_picture(img):
        return picture.rotate(img, angle, mode, expand, center, fill)
    _, height, width = get_dimensions(img)
    _only(mode, "NEAREST", "BILINEAR")
    middle = (width / 2, height / 2)
    inverse = np.linalg.inv(affine_matrix(center or middle, -angle, (0, 0), 1.0, (0.0, 0.0)))
    size = [height, width]
    if expand:
        size = _rotated(height, width, angle)
        inverse = inverse @ _shift(middle[0] - size[1] / 2, middle[1] - size[0] / 2)
    return tensors.warp(img, inverse, size, mode, fill)


def _rotated(height: int, width: int, angle: float) -> list[int]:
    """The height and width, in whole pixels, that hold the turned picture."""
    corners = np.array([[-0.5, -0.5, 0.5, 0.5], [-0.5, 0.5, 0.5, -0.5]]) * [[width], [height]]
    points = (_turn(angle)[:2, :2] @ corners + [[width / 2], [height / 2]]).round(4)
    across, down = (np.ceil(points.max(1)) - np.floor(points.min(1))).astype(int).tolist()
    return [down, across]


def affine(
    img: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
    fill: Fill = None,
    center: Sequence[float] | None = None,
) -> Any:
    """`img` sheared (degrees), scaled, turned by `angle` degrees clockwise about `center`, then moved (x, y pixels)."""
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    shears = [shear, 0.0] if isinstance(shear, int | float) else list(shear)
    shears = shears * 2 if len(shears) == 1 else shears
    if len(shears) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    mode = as_mode(interpolation)
    _, height, width = get_dimensions(img)
    inverse = np.linalg.inv(affine_matrix(center or (width / 2, height / 2), angle, translate, scale, shears))
    if is_picture(img):
        return picture.warp(img, inverse, mode, fill)
    _only(mode, "NEAREST", "BILINEAR")
    return tensors.warp(img, inverse, [height, width], mode, fill)


def affine_matrix(
    center: Sequence[float], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float]
) -> np.ndarray:
    """The matrix (3, 3) that sends a point (x, y, 1) of the picture to its new place; angles in degrees."""
    shear_x, shear_y = (math.tan(math.radians(degrees)) for degrees in shear)
    lean = np.array([[1, 0, 0], [-shear_y, 1, 0], [0, 0, 1]]) @ np.array([[1, -shear_x, 0], [0, 1, 0], [0, 0, 1]])
    there = _shift(center[0] + translate[0], center[1] + translate[1])
    return there @ _turn(angle) @ lean @ np.diag([scale, scale, 1.0]) @ _shift(-center[0], -center[1])


def _turn(angle: float) -> np.ndarray:
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """A grey PIL image of 1 or 3 equal channels."""
    if not is_picture(img):
        raise TypeError("Input should be PIL Image")
    return rgb_to_grayscale(img, num_output_channels)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Grey, in 1 or 3 equal channels; ValueError for another number."""
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    return _room(img).grayscale(img, num_output_channels)


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """0 is black, 1 the picture, 2 twice as bright."""
    return _adjusted(img, "brightness", "Brightness", brightness_factor, lambda: 0.0)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """0 is plain grey, 1 the picture."""
    return _adjusted(img, "contrast", "Contrast", contrast_factor, lambda: tensors.mean_gray(img))


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """0 is black and white, 1 the picture."""
    return _adjusted(img, "saturation", "Color", saturation_factor, lambda: tensors.grayscale(img, 1))


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """The hue turned by `hue_factor` of a whole circle, -0.5 to 0.5."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    return _room(img).adjust_hue(img, hue_factor)


def _adjusted(img: Any, name: str, enhancer: str, factor: float, other: Any) -> Any:
    """`factor` parts of the picture and 1 - `factor` parts of the other."""
    if factor < 0:
        raise ValueError(f"{name}_factor ({factor}) is not non-negative.")
    if is_picture(img):
        return picture.enhance(img, enhancer, factor)
    _room(img)
    return tensors.blend(img, other(), factor)


def gaussian_blur(img: Any, kernel_size: Size, sigma: float | Sequence[float] | None = None) -> Any:
    """Blurred by a kernel of odd `kernel_size` (x, y); `sigma` follows from the size unless it is given."""
    sizes = _pair(kernel_size)
    if len(sizes) != 2 or any(n <= 0 or n % 2 == 0 for n in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {kernel_size}")
    if sigma is None:
        sigma = [n * 0.15 + 0.35 for n in sizes]
    sigmas = [sigma] * 2 if isinstance(sigma, int | float) else list(sigma) * (2 // len(sigma))
    if any(s <= 0.0 for s in sigmas):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    if is_picture(img):
        return to_pil_image(tensors.gaussian_blur(pil_to_tensor(img), sizes, sigmas), img.mode)
    _room(img)
    return tensors.gaussian_blur(img, sizes, sigmas)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False) -> Tensor:
    """`img` with the rectangle of h x w pixels at (i, j) replaced by `v`."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    if not inplace:
        img = img.clone()
    img[..., i : i + h, j : j + w] = v
    return img
