"""How new pixels are made from old ones."""

from enum import Enum


class InterpolationMode(Enum):
    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


# Pillow's numbers, which its constants and old scripts give.
PILLOW_CODES = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.NEAREST_EXACT: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
}


def as_mode(interpolation: InterpolationMode | int) -> InterpolationMode:
    """The mode, also for Pillow's number of it; TypeError for anything else."""
    if isinstance(interpolation, InterpolationMode):
        return interpolation
    for mode, code in PILLOW_CODES.items():
        if code == interpolation:
            return mode
    raise TypeError(
        f"Argument interpolation should be an InterpolationMode or a corresponding Pillow integer constant, "
        f"got {interpolation!r}"
    )
