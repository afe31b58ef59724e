"""Pictures read from files as bytes of tensors."""

import pytest

import disttorch as torch
from disttorch.vision.io import ImageReadMode, decode_image, read_file, read_image, write_jpeg, write_png

pytest.importorskip("PIL")


@pytest.fixture
def picture(tmp_path):
    pixels = torch.arange(2 * 3 * 5, dtype=torch.uint8).reshape(3, 2, 5) * 8
    write_png(pixels, tmp_path / "a.png")
    return pixels, tmp_path / "a.png"


def test_written_and_read(picture):
    pixels, path = picture
    assert torch.equal(read_image(str(path)), pixels)
    assert torch.equal(decode_image(read_file(path)), pixels)


def test_colours(picture):
    pixels, path = picture
    assert read_image(path, ImageReadMode.GRAY).shape == (1, 2, 5)
    assert read_image(path, "RGB_ALPHA").shape == (4, 2, 5)
    write_png(pixels[:1], path)
    assert torch.equal(read_image(path), pixels[:1])
    assert torch.equal(read_image(path, "rgb"), pixels[:1].expand(3, 2, 5))


def test_palettes_become_colours(picture):
    from PIL import Image

    _, path = picture
    Image.open(path).convert("P").save(path)
    assert read_image(path).shape == (3, 2, 5)


def test_jpeg(tmp_path):
    write_jpeg(torch.full((3, 8, 8), 100, dtype=torch.uint8), tmp_path / "a.jpg", quality=95)
    assert (read_image(tmp_path / "a.jpg").int() - 100).abs().max() <= 2


def test_what_is_no_picture(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")
    with pytest.raises(RuntimeError, match="Expected a 1-dimensional uint8 tensor, but got 2 dimensions of"):
        decode_image(torch.zeros(2, 2))
