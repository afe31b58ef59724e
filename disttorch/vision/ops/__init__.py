"""Layers for pictures, with torchvision's names."""

from disttorch.vision.ops import misc
from disttorch.vision.ops.misc import FrozenBatchNorm2d

__all__ = ["FrozenBatchNorm2d", "misc"]
