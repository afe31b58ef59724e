"""The transforms' values: against NumPy, Pillow and colorsys."""

import colorsys

import numpy as np
import pytest
from PIL import Image

import disttorch
from disttorch.vision import transforms as T
from disttorch.vision.transforms import functional as F
from disttorch.vision.transforms.interpolation import PILLOW_CODES

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (13, 17, 3), dtype=np.uint8)
MODES = T.InterpolationMode


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(PIXELS).convert(mode)


def tensor(mode: str = "RGB") -> disttorch.Tensor:
    """The same picture's bytes, (C, 13, 17)."""
    return F.pil_to_tensor(picture(mode))


def array(img: object) -> np.ndarray:
    """A PIL image's or tensor's values as (C, H, W)."""
    return F.pil_to_tensor(img).numpy() if isinstance(img, Image.Image) else img.numpy()


# -------------------------------------------------------------------------------------------------------- conversion
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "HSV", "YCbCr"])
def test_there_and_back(mode: str) -> None:
    img = picture(mode)
    as_tensor = F.to_tensor(img)
    assert (as_tensor.dtype, as_tensor.shape) == (disttorch.float32, (len(mode.replace("YCbCr", "YCC")), 13, 17))
    back = F.to_pil_image(as_tensor, mode)
    assert back.mode == mode
    assert np.array_equal(np.asarray(back), np.asarray(img))


@pytest.mark.parametrize(("mode", "dtype"), [("I", "int32"), ("F", "float32"), ("I;16", "int16")])
def test_wide_pixels_keep_their_values(mode: str, dtype: str) -> None:
    img = Image.frombytes(mode, (2, 2), np.array([0, 1, 300, 4000], dtype).tobytes())
    as_tensor = F.to_tensor(img)
    assert as_tensor.dtype == getattr(disttorch, dtype)
    assert as_tensor.flatten().tolist() == [0, 1, 300, 4000]
    assert F.to_pil_image(as_tensor, mode).tobytes() == img.tobytes()


def test_arrays_are_converted() -> None:
    assert F.to_tensor(PIXELS).shape == (3, 13, 17)
    assert F.to_tensor(PIXELS).max().item() == pytest.approx(PIXELS.max() / 255)
    assert F.to_tensor(PIXELS[..., 0].astype(np.float64)).dtype == disttorch.float64
    assert np.array_equal(np.asarray(F.to_pil_image(PIXELS)), PIXELS)
    assert F.to_tensor(picture("1")).unique().tolist() == [0.0, 1.0]


def test_floats_outside_0_to_1_wrap_round() -> None:
    values = disttorch.tensor([[-0.5, 0.0, 0.5, 1.0, 2.0]])
    assert np.asarray(F.to_pil_image(values)).tolist() == [[129, 0, 127, 255, 254]]


@pytest.mark.parametrize(
    ("function", "argument", "error", "text"),
    [
        (F.to_tensor, [1], TypeError, "pic should be PIL Image or ndarray. Got <class 'list'>"),
        (F.to_tensor, np.zeros(3), ValueError, "pic should be 2/3 dimensional. Got 1 dimensions."),
        (F.pil_to_tensor, PIXELS, TypeError, "pic should be PIL Image. Got <class 'numpy.ndarray'>"),
        (F.to_pil_image, [1], TypeError, "pic should be Tensor or ndarray. Got <class 'list'>."),
        (F.to_pil_image, PIXELS[0, 0], ValueError, "pic should be 2/3 dimensional. Got 1 dimensions."),
        (F.to_pil_image, np.zeros((2, 2, 5)), ValueError, "pic should not have > 4 channels. Got 5 channels."),
        (F.to_pil_image, np.zeros((2, 2), np.int64), TypeError, "Input type int64 is not supported"),
        (F.hflip, PIXELS, TypeError, "img should be PIL Image or Tensor. Got <class 'numpy.ndarray'>"),
        (F.convert_image_dtype, PIXELS, TypeError, "Input img should be Tensor Image"),
    ],
)
def test_wrong_input_is_named(function: object, argument: object, error: type, text: str) -> None:
    with pytest.raises(error) as raised:
        function(argument)
    assert str(raised.value) == text


def test_wrong_mode_is_named() -> None:
    with pytest.raises(ValueError, match=r"Incorrect mode \(RGB\) supplied for input type uint8. Should be L"):
        F.to_pil_image(np.zeros((2, 2), np.uint8), "RGB")
    with pytest.raises(ValueError, match=r"Only modes \['RGB', 'YCbCr', 'HSV'\] are supported"):
        F.to_pil_image(PIXELS, "L")


@pytest.mark.parametrize(
    ("old", "new", "values", "wanted"),
    [
        ("uint8", "float32", [0, 51, 255], [0.0, 0.2, 1.0]),
        ("float32", "uint8", [0.0, 0.5, 1.0], [0, 127, 255]),
        ("uint8", "int16", [0, 1, 255], [0, 128, 32640]),
        ("int16", "uint8", [0, 127, 128, 32767], [0, 0, 1, 255]),
        ("float32", "float64", [0.25], [0.25]),
    ],
)
def test_dtypes_keep_white_white(old: str, new: str, values: list, wanted: list) -> None:
    image = disttorch.tensor(values, dtype=getattr(disttorch, old))
    converted = T.ConvertImageDtype(getattr(disttorch, new))(image)
    assert converted.dtype == getattr(disttorch, new)
    assert converted.tolist() == pytest.approx(wanted)


def test_a_float_that_cannot_hold_the_numbers_is_refused() -> None:
    with pytest.raises(RuntimeError, match="cannot be performed safely"):
        F.convert_image_dtype(disttorch.zeros(1), disttorch.int32)


def test_normalize() -> None:
    image = F.to_tensor(PIXELS)
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    wanted = (image.numpy() - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    assert np.allclose(T.Normalize(mean, std)(image).numpy(), wanted, atol=1e-6)
    assert F.normalize(image, mean, std, inplace=True) is image
    assert np.allclose(image.numpy(), wanted, atol=1e-6)
    with pytest.raises(ValueError, match="std evaluated to zero"):
        F.normalize(image, [0.0], [0.0])
    with pytest.raises(TypeError, match="Input tensor should be a float tensor"):
        F.normalize(tensor(), mean, std)
    with pytest.raises(ValueError, match="Expected tensor to be a tensor image of size"):
        F.normalize(image[0], [0.0], [1.0])


# ---------------------------------------------------------------------------------------------------------- geometry
@pytest.mark.parametrize("size", [5, (7, 30), (26, 34), [20]])
@pytest.mark.parametrize("mode", ["BILINEAR", "BICUBIC"])
def test_tensors_are_resized_as_pillow_does(size: object, mode: str) -> None:
    channel = PIXELS[..., 0].astype(np.float32)
    wanted = np.asarray(F.resize(Image.fromarray(channel), size, MODES[mode]))
    got = F.resize(disttorch.from_numpy(channel.copy())[None], size, MODES[mode])
    assert np.allclose(got[0].numpy(), wanted, atol=2e-3)  # of 255


def test_resizing_without_antialias_takes_the_nearest_two() -> None:
    row = disttorch.arange(8.0).reshape(1, 1, 8)
    assert F.resize(row, (1, 2), antialias=False).flatten().tolist() == [1.5, 5.5]
    assert F.resize(row, (1, 16), antialias=False).flatten()[:4].tolist() == [0.0, 0.25, 0.75, 1.25]
    assert F.resize(row, (1, 4), MODES.NEAREST).flatten().tolist() == [0, 2, 4, 6]
    assert F.resize(row, (1, 4), MODES.NEAREST_EXACT).flatten().tolist() == [1, 3, 5, 7]


def test_resizing_bytes_rounds_and_stays_in_range() -> None:
    sharp = disttorch.tensor([0, 0, 255, 255, 0, 0], dtype=disttorch.uint8).reshape(1, 1, 6)
    big = F.resize(sharp, (1, 24), MODES.BICUBIC)
    assert big.dtype == disttorch.uint8
    assert (big.min().item(), big.max().item()) == (0, 255)


def test_resizing_has_a_gradient() -> None:
    image = disttorch.rand(1, 4, 4, requires_grad=True)
    F.resize(image, (2, 2)).sum().backward()
    assert image.grad.sum().item() == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("size", "max_size", "wanted"),
    [(26, None, (26, 34)), (10, 12, (9, 12)), ([3, 4], None, (3, 4)), (13, None, (13, 17))],
)
def test_sizes(size: object, max_size: int | None, wanted: tuple[int, int]) -> None:
    for img in (picture(), tensor()):
        assert F.get_image_size(T.Resize(size, max_size=max_size)(img)) == list(wanted[::-1])


def test_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="must be strictly greater than the requested size"):
        F.resize(tensor(), 10, max_size=10)
    with pytest.raises(ValueError, match="max_size should only be passed if size specifies"):
        F.resize(tensor(), (10, 10), max_size=20)
    with pytest.raises(ValueError, match="is not for tensors here"):
        F.resize(tensor(), 5, MODES.LANCZOS)
    with pytest.raises(TypeError, match="Argument interpolation should be an InterpolationMode"):
        F.resize(tensor(), 5, 17)
    with pytest.raises(ValueError, match=r"Requested crop size \(14, 3\) is bigger than input size \(13, 17\)"):
        F.five_crop(tensor(), (14, 3))


def test_pillows_numbers_name_the_modes() -> None:
    for mode in MODES:
        assert PILLOW_CODES[mode] == Image.Resampling[mode.name.removesuffix("_EXACT")]


@pytest.mark.parametrize("padding", [2, [3], (1, 2), (1, 2, 3, 4), (-1, 2, 3, -4)])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad(padding: object, mode: str) -> None:
    sides = [padding] if isinstance(padding, int) else list(padding)
    left, top, right, bottom = (sides * 4)[:4] if len(sides) != 2 else sides * 2
    kept = tensor().numpy()[:, max(-top, 0) : 13 + min(bottom, 0), max(-left, 0) : 17 + min(right, 0)]
    around = [(0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    options = {"constant_values": 7} if mode == "constant" else {}
    wanted = np.pad(kept, around, mode, **options)
    for img in (picture(), tensor()):
        assert np.array_equal(array(F.pad(img, padding, 7, mode)), wanted)


@pytest.mark.parametrize("box", [(2, 3, 4, 5), (-3, -4, 9, 30), (10, 12, 8, 9), (20, 20, 2, 2)])
def test_crop_is_black_outside(box: tuple[int, int, int, int]) -> None:
    top, left, height, width = box
    canvas = np.zeros((3, 60, 80), np.uint8)
    canvas[:, 20:33, 30:47] = tensor().numpy()
    wanted = canvas[:, 20 + top : 20 + top + height, 30 + left : 30 + left + width]
    for img in (picture(), tensor()):
        assert np.array_equal(array(F.crop(img, *box)), wanted)


def test_center_crops_and_corners() -> None:
    for img in (picture(), tensor()):
        assert np.array_equal(array(T.CenterCrop(5)(img)), tensor().numpy()[:, 4:9, 6:11])
        assert np.array_equal(array(T.CenterCrop((15, 19))(img)), array(F.pad(img, 1)))
        corners = [array(crop) for crop in T.FiveCrop((4, 6))(img)]
        whole = tensor().numpy()
        wanted = [whole[:, :4, :6], whole[:, :4, -6:], whole[:, -4:, :6], whole[:, -4:, -6:], whole[:, 4:8, 6:12]]
        assert all(np.array_equal(*both) for both in zip(corners, wanted, strict=True))
        ten = T.TenCrop((4, 6))(img)
        assert len(ten) == 10
        assert np.array_equal(array(ten[6]), whole[:, :4, :6][..., ::-1])


def test_flips() -> None:
    for img in (picture(), tensor()):
        assert np.array_equal(array(T.RandomHorizontalFlip(1.0)(img)), tensor().numpy()[..., ::-1])
        assert np.array_equal(array(T.RandomVerticalFlip(1.0)(img)), tensor().numpy()[:, ::-1])
        assert T.RandomHorizontalFlip(0.0)(img) is img


@pytest.mark.parametrize("center", [None, (3, 5)])
@pytest.mark.parametrize("angle", [10, -33.3, 200])
def test_tensors_are_turned_as_pillow_does(angle: float, center: tuple[int, int] | None) -> None:
    img, as_tensor = picture("L"), tensor("L").float()
    nearest = F.rotate(as_tensor, angle, center=center).numpy()
    different = nearest != array(F.rotate(img, angle, center=center))
    assert different.mean() < 0.01  # Pillow reckons with 16 binary places
    smooth = F.rotate(as_tensor, angle, MODES.BILINEAR, center=center).numpy()
    wanted = array(F.rotate(img, angle, MODES.BILINEAR, center=center)).astype(float)
    inside = F.rotate(disttorch.ones(1, 13, 17), angle, MODES.BILINEAR, center=center).numpy() > 0.999
    assert inside.sum() > 50
    assert np.abs(smooth - wanted)[inside].max() < 1.5  # of 255; at the border the two fill in otherwise


def test_turned_by_quarters_and_expanded() -> None:
    assert np.array_equal(F.rotate(tensor(), 180).numpy(), tensor().numpy()[:, ::-1, ::-1])
    turned = F.rotate(tensor().float(), 90, expand=True)
    assert (turned.shape[-2] - 17, turned.shape[-1] - 13) in [(0, 0), (1, 1)]
    assert F.rotate(picture(), 90, expand=True).size == (13, 17)
    filled = F.rotate(disttorch.ones(3, 8, 8), 45, fill=[0.1, 0.2, 0.3])
    assert filled[:, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("settings", [(10, (3, 4), 1.2, (5, 6)), (-40, (1, -4), 0.8, 7.0), (0, (2, 1), 1.0, 0)])
def test_tensors_are_warped_as_pillow_does(settings: tuple) -> None:
    assert np.array_equal(F.affine(tensor(), *settings).numpy(), array(F.affine(picture(), *settings)))


def test_the_affine_matrix_moves_points_as_told() -> None:
    matrix = F.affine_matrix((10, 20), 90, (3, 4), 2.0, (0, 0))
    assert np.allclose(matrix @ [10, 20, 1], [13, 24, 1])  # the centre is only moved
    assert np.allclose(matrix @ [11, 20, 1], [13, 26, 1])  # right of it: clockwise (y points down) and twice as far
    leaning = F.affine_matrix((0, 0), 0, (0, 0), 1.0, (45, 0))
    assert np.allclose(leaning @ [0, 1, 1], [-1, 1, 1])


# ------------------------------------------------------------------------------------------------------------ colour
def test_gray_is_the_weighted_mean() -> None:
    wanted = PIXELS @ [0.2989, 0.587, 0.114]
    for img in (picture(), tensor()):
        gray = T.Grayscale(3)(img)
        assert np.abs(array(gray) - wanted).max() <= 1
        assert F.get_image_num_channels(T.Grayscale()(img)) == 1
        assert F.get_image_num_channels(T.RandomGrayscale(1.0)(img)) == 3


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.7])
def test_tensors_are_adjusted_as_pillow_does(name: str, factor: float) -> None:
    adjust = getattr(F, f"adjust_{name}")
    wanted = array(adjust(picture(), factor)).astype(int)
    assert np.abs(adjust(tensor(), factor).numpy().astype(int) - wanted).max() <= 2
    assert np.abs(adjust(tensor() / 255, factor).numpy() * 255 - wanted).max() <= 2
    with pytest.raises(ValueError, match=rf"{name}_factor \(-1\) is not non-negative"):
        adjust(tensor(), -1)


@pytest.mark.parametrize("factor", [-0.5, 0.1, 0.37])
def test_hue_is_turned_as_colorsys_says(factor: float) -> None:
    colors = np.concatenate([PIXELS.reshape(-1, 3) / 255, [[0.5] * 3, [0.0] * 3, [1.0, 0, 0], [0, 1.0, 1.0]]])
    turned = []
    for color in colors:
        hue, saturation, value = colorsys.rgb_to_hsv(*color)
        turned.append(colorsys.hsv_to_rgb((hue + factor) % 1, saturation, value))
    image = disttorch.from_numpy(colors.T[:, None].copy())
    assert np.allclose(F.adjust_hue(image, factor).numpy()[:, 0].T, turned, atol=1e-9)
    assert (
        np.abs(array(F.adjust_hue(picture(), factor)) / 255 - np.array(turned[:-4]).T.reshape(3, 13, 17)).max() < 0.06
    )


def test_hue_leaves_gray_alone_and_has_limits() -> None:
    gray = tensor("L")
    assert F.adjust_hue(gray, 0.3) is gray
    with pytest.raises(ValueError, match=r"hue_factor \(0.6\) is not in \[-0.5, 0.5\]"):
        F.adjust_hue(gray, 0.6)


def test_blur_is_a_weighted_mean() -> None:
    point = disttorch.zeros(1, 7, 7)
    point[0, 3, 3] = 1.0
    row = np.exp(-0.5 * np.array([-1.0, 0.0, 1.0]) ** 2 / 0.8**2)
    row /= row.sum()
    blurred = F.gaussian_blur(point, 3, 0.8).numpy()[0]
    assert np.allclose(blurred[2:5, 2:5], np.outer(row, row), atol=1e-6)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-6)
    assert F.gaussian_blur(picture(), [3, 5]).size == (17, 13)
    with pytest.raises(ValueError, match="kernel_size should have odd and positive integers"):
        F.gaussian_blur(point, 4)


def test_erasing() -> None:
    image = disttorch.ones(3, 8, 8)
    erased = F.erase(image, 1, 2, 3, 4, disttorch.zeros(3, 1, 1))
    assert (erased == 0).sum().item() == 3 * 3 * 4
    assert image.min().item() == 1
    assert F.erase(image, 1, 2, 3, 4, disttorch.zeros(3, 1, 1), inplace=True) is image
    part = T.RandomErasing(1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0), value=(5.0, 6.0, 7.0))(disttorch.zeros(3, 8, 8))
    assert [(part[channel] == 5.0 + channel).sum().item() for channel in range(3)] == [16, 16, 16]
    noise = T.RandomErasing(1.0, value="random")(disttorch.zeros(3, 8, 8))
    assert len(noise.unique()) > 3
    assert T.RandomErasing(0.0)(image) is image


def test_bytes_are_divided_in_the_default_dtype() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    disttorch.set_default_dtype(disttorch.float64)
    try:
        made = T.ToTensor()(Image.fromarray(pixels))
    finally:
        disttorch.set_default_dtype(disttorch.float32)
    assert made.dtype is disttorch.float64
    np.testing.assert_array_equal(made.numpy()[0], pixels / 255)
