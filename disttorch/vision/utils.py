"""Pictures for people to look at."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import disttorch
from disttorch import Tensor
from disttorch.vision.pillow import pillow


@disttorch.no_grad()
def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """A batch (B, C, H, W), or a list of pictures of one shape, as one picture (C, H', W') of `nrow` columns.

    Grey pictures get three channels. `normalize` maps `value_range` (default: least and greatest value, of the batch
    or with `scale_each` of each picture) to 0..1. The margins are `padding` pixels of `pad_value`.
    """
    if not isinstance(tensor, Tensor):
        if not isinstance(tensor, Sequence) or not all(isinstance(one, Tensor) for one in tensor):
            raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
        tensor = disttorch.stack(list(tensor))
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(0 if tensor.size(0) in (1, 3) else 1)
    if tensor.size(1) == 1:
        tensor = disttorch.cat([tensor] * 3, 1)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        batches = tensor if scale_each else tensor.unsqueeze(0)
        tensor = disttorch.stack([_normalized(batch, value_range) for batch in batches])
        tensor = tensor if scale_each else tensor.squeeze(0)
    if tensor.size(0) == 1:
        return tensor.squeeze(0)

    count, channels, height, width = tensor.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    grid = tensor.new_full((channels, height * rows + padding, width * columns + padding), pad_value)
    for index, picture in enumerate(tensor):
        top, left = index // columns * height + padding, index % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = picture
    return grid


def _normalized(picture: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    least, most = value_range if value_range is not None else (picture.min().item(), picture.max().item())
    return (picture.clamp(least, most) - least) / max(most - least, 1e-5)


def save_image(
    tensor: Tensor | Sequence[Tensor], fp: str | Path | BinaryIO, format: str | None = None, **kwargs: Any
) -> None:
    """Write a picture, or a grid of them (`kwargs` go to `make_grid`), of values 0..1 to a file."""
    grid = make_grid(tensor, **kwargs)
    pixels = (grid * 255 + 0.5).clamp(0, 255).permute(1, 2, 0).to("cpu", disttorch.uint8).numpy()
    pillow().fromarray(pixels).save(fp, format=format)
