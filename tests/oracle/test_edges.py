"""Values and gradients at ties, NaN and infinities, beside PyTorch's."""

import itertools
import math

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

NAN, INF = math.nan, math.inf
SQUARES = [
    [[1.0, 2.0, 2.0], [NAN, 1.0, NAN], [3.0, NAN, 3.0]],
    [[1.0, 2.0], [2.0, 2.0]],
    [[INF, 1.0], [-INF, INF]],
    [[0.0, 0.0], [0.0, 1.0]],
]
REDUCTIONS = [
    *[f"{name}(x)" for name in ("amax", "amin", "max", "min", "median", "nanmedian")],
    *[f"{name}(x, 1)" for name in ("amax", "amin")],
    *[f"{name}(x, 0)[0]" for name in ("max", "min", "median", "nanmedian", "cummax", "cummin", "mode")],
    "aminmax(x, dim=0)[0]",
    *[f"norm(x, {p})" for p in ("inf", "-inf", 0, 1, 2, 3, 0.5, -1)],
    *[f"linalg.vector_norm(x, {p}, dim=1, keepdim=True)" for p in ("inf", "-inf", 0, 1, 2, 1.5)],
    "linalg.matrix_norm(x, inf)",
    *[f"nn.functional.adaptive_max_pool2d(x[None], {size})" for size in (1, 2)],
]


@pytest.mark.parametrize("code", REDUCTIONS)
def test_gradients_at_ties_nan_and_infinities(code):
    for values in SQUARES:
        found = []
        for lib in (disttorch, torch):
            x = lib.tensor(values, requires_grad=True)
            y = eval(f"lib.{code}", {"lib": lib, "x": x, "inf": INF})
            y.sum().backward()
            found.append((y.detach().numpy(), None if x.grad is None else x.grad.numpy()))
        (ours, our_grad), (theirs, their_grad) = found
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert (our_grad is None) == (their_grad is None)
        if our_grad is not None:
            np.testing.assert_allclose(our_grad, their_grad, rtol=1e-6)


@pytest.mark.parametrize("values", list(itertools.product([1.0, NAN, -INF], repeat=3)))
def test_places_of_nan_in_adaptive_max_pooling(values):
    for size in (1, 2):
        found = []
        for lib in (disttorch, torch):
            x = lib.tensor(values)[None]
            y, places = lib.nn.functional.adaptive_max_pool1d(x, size, return_indices=True)
            found.append((y.numpy(), places.tolist()))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        assert found[0][1] == found[1][1]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_soft_margin_loss_of_every_size(name):
    found = []
    for lib in (disttorch, torch):
        x = lib.linspace(-100, 100, 401).to(getattr(lib, name)).requires_grad_()
        loss = lib.nn.functional.soft_margin_loss(x, lib.ones(401, dtype=x.dtype), reduction="none")
        loss.sum().backward()
        found.append((loss.detach().float().numpy(), x.grad.float().numpy()))
    bound = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 1e-6}[name]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=bound, atol=bound)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"proj_size": 3}], ids=str)
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_packed_lstm_under_autocast(options, name):
    found = []
    for lib in (disttorch, torch):
        lib.manual_seed(0)
        lstm = lib.nn.LSTM(4, 6, **options)
        x = lib.randn(5, 3, 4, generator=lib.Generator().manual_seed(1)).to(getattr(lib, name)).requires_grad_()
        packed = lib.nn.utils.rnn.pack_padded_sequence(x, [5, 3, 2])
        with lib.autocast("cpu", dtype=lib.bfloat16):
            y, (h, c) = lstm(packed)
        (y.data.float().sum() + c.float().sum()).backward()
        values = [y.data, h, c, x.grad, lstm.weight_hh_l0.grad]
        found.append(([str(v.dtype) for v in values], [v.detach().float().numpy() for v in values]))
    assert found[0][0] == found[1][0]
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-2)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
def test_resized_bytes_are_the_same_bits(mode, antialias):
    rng = np.random.default_rng(0)
    for channels, size, new in [
        (3, (20, 31), (11, 40)),
        (1, (7, 9), (7, 4)),
        (5, (13, 6), (30, 30)),
        (2, (3, 2), (5, 1)),
    ]:
        pixels = rng.integers(0, 256, (2, channels, *size)).astype(np.uint8)
        for options in ({"size": new}, {"scale_factor": 1.7}, {"size": new, "align_corners": True}):
            ours, theirs = (
                lib.nn.functional.interpolate(lib.from_numpy(pixels), mode=mode, antialias=antialias, **options).numpy()
                for lib in (disttorch, torch)
            )
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_pictures_of_bytes_are_resized_in_floating_point(mode):
    from disttorch.vision.transforms import InterpolationMode, functional

    different = 0
    for size, new in [((20, 31), [11, 40]), ((30, 40), [15, 20]), ((8, 8), [40, 3])]:
        pixels = np.random.default_rng(0).integers(0, 256, (3, *size)).astype(np.uint8)
        ours = functional.resize(disttorch.from_numpy(pixels), new, InterpolationMode(mode)).numpy()
        smooth = {} if mode.startswith("nearest") else {"antialias": True}
        theirs = torch.nn.functional.interpolate(torch.from_numpy(pixels)[None].float(), new, mode=mode, **smooth)
        different += (ours != theirs[0].clamp(0, 255).round().byte().numpy()).sum()
    assert different <= 2  # where a sum's last bit decides


TURNED = [
    "F.dropout(torch.ones(3, 4).t(), 0.5)",
    "F.dropout(torch.ones(2, 3, 4).transpose(0, 1), 0.5)",
    "F.dropout(torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last), 0.5)",
    "F.dropout(torch.ones(4, 6)[:, ::2], 0.5)",
    "F.alpha_dropout(torch.ones(3, 4).t(), 0.5, True)",
    "F.gumbel_softmax(torch.ones(3, 4).t(), dim=-1)",
    "torch.bernoulli(torch.full((3, 4), 0.5).t())",
    "torch.multinomial(torch.rand(3, 4).t(), 1)",
    "torch.multinomial(torch.rand(3, 4).t(), 2)",
    "torch.rand_like(torch.ones(3, 4).t())",
    "torch.ones(8, 4).t().normal_()",
]


@pytest.mark.parametrize("code", TURNED)
def test_random_numbers_of_turned_tensors(code):
    found = []
    for lib in (disttorch, torch):
        lib.manual_seed(0)
        found.append(eval(code, {"torch": lib, "F": lib.nn.functional}).numpy())
    np.testing.assert_allclose(*found, rtol=1e-5)
