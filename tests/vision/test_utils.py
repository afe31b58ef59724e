"""Grids of pictures."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import disttorch
from disttorch.vision.utils import make_grid, save_image


def test_grid_places_each_picture() -> None:
    batch = disttorch.rand(5, 3, 4, 6)
    grid = make_grid(batch, nrow=3, padding=1, pad_value=9.0)
    assert grid.shape == (3, 2 * 5 + 1, 3 * 7 + 1)
    wanted = np.full(grid.shape, 9.0, np.float32)
    for index in range(5):
        row, column = divmod(index, 3)
        wanted[:, row * 5 + 1 : row * 5 + 5, column * 7 + 1 : column * 7 + 7] = batch[index].numpy()
    assert np.array_equal(grid.numpy(), wanted)


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (3, 4, 6), (1, 1, 4, 6)])
def test_a_single_picture_stays_as_it_is(shape: tuple[int, ...]) -> None:
    picture = disttorch.rand(*shape)
    grid = make_grid(picture)
    assert grid.shape == (3, 4, 6)
    assert all(disttorch.equal(channel, grid[0]) for channel in grid) == (shape[0] != 3)


def test_grid_normalizes_the_batch_or_each_picture() -> None:
    batch = disttorch.stack([disttorch.linspace(0, 1, 12), disttorch.linspace(0, 4, 12)]).reshape(2, 1, 3, 4)
    together = make_grid(batch, padding=0, normalize=True)
    assert together[..., :4].max().item() == pytest.approx(0.25)
    each = make_grid(batch, padding=0, normalize=True, scale_each=True)
    assert each[..., :4].max().item() == each.max().item() == pytest.approx(1.0)
    clipped = make_grid(batch, padding=0, normalize=True, value_range=(1, 3))
    assert (clipped.min().item(), clipped.max().item()) == (0, 1)
    assert batch.max().item() == 4


def test_grid_takes_lists_and_refuses_the_rest() -> None:
    assert make_grid([disttorch.zeros(3, 2, 2)] * 3).shape == (3, 6, 14)
    with pytest.raises(TypeError, match="tensor or list of tensors expected"):
        make_grid(np.zeros((3, 2, 2)))
    with pytest.raises(TypeError, match="value_range has to be a tuple"):
        make_grid(disttorch.zeros(2, 3, 2, 2), normalize=True, value_range=[0, 1])


def test_a_saved_picture_is_the_grid(tmp_path: Path) -> None:
    batch = disttorch.rand(2, 3, 4, 5)
    save_image(batch, tmp_path / "grid.png", padding=0)
    with Image.open(tmp_path / "grid.png") as picture:
        pixels = np.asarray(picture)
    wanted = np.floor(np.concatenate([one.numpy() for one in batch], 2).transpose(1, 2, 0) * 255 + 0.5)
    assert np.array_equal(pixels, wanted)
    stream = io.BytesIO()
    save_image(batch, stream, format="bmp")
    assert stream.getvalue()[:2] == b"BM"
