"""torchvision.io: pictures from files and bytes as tensors, and back."""

import io
import os
from enum import Enum

import numpy as np

import disttorch
from disttorch import Tensor
from disttorch.vision.pillow import pillow
from disttorch.vision.transforms.functional import pil_to_tensor, to_pil_image


class ImageReadMode(Enum):
    """The colours that a picture is read in; UNCHANGED: its own."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's names


def _read(source: object, mode: ImageReadMode | str) -> Tensor:
    mode = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    with pillow().open(source) as picture:
        asked = _MODES.get(mode.value)
        if asked is None:  # what is neither grey nor coloured pixels, such as a palette, becomes them
            asked = picture.mode if picture.mode in _MODES.values() else "RGB"
        return pil_to_tensor(picture.convert(asked))


def read_image(path: str | os.PathLike, mode: ImageReadMode | str = ImageReadMode.UNCHANGED) -> Tensor:
    """The picture in the file as a tensor (C, H, W) of bytes. FileNotFoundError; Pillow's error for another file."""
    return _read(path, mode)


def decode_image(input: Tensor, mode: ImageReadMode | str = ImageReadMode.UNCHANGED) -> Tensor:
    """The picture in a file's bytes (a uint8 tensor of one dimension) as a tensor (C, H, W) of bytes."""
    if input.dtype is not disttorch.uint8 or input.dim() != 1:
        raise RuntimeError(f"Expected a 1-dimensional uint8 tensor, but got {input.dim()} dimensions of {input.dtype}")
    return _read(io.BytesIO(input.numpy().tobytes()), mode)


def read_file(path: str | os.PathLike) -> Tensor:
    """A file's bytes as a uint8 tensor of one dimension."""
    return disttorch.from_numpy(np.fromfile(path, np.uint8))


def write_png(input: Tensor, filename: str | os.PathLike, compression_level: int = 6) -> None:
    """Write a tensor (1 or 3, H, W) of bytes to a PNG file."""
    to_pil_image(input).save(filename, "PNG", compress_level=compression_level)


def write_jpeg(input: Tensor, filename: str | os.PathLike, quality: int = 75) -> None:
    """Write a tensor (1 or 3, H, W) of bytes to a JPEG file."""
    to_pil_image(input).save(filename, "JPEG", quality=quality)
