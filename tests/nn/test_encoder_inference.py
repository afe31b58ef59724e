"""A TransformerEncoderLayer under no_grad in evaluation mode: one operation, with the values of its parts, which have
their say where a program changed one.
"""

import copy
import warnings

import pytest

import disttorch as torch
from disttorch import nn
from disttorch.nn import functional as F
from disttorch.nn.modules import transformer

N, L, E = 3, 7, 24


@pytest.fixture
def taken(monkeypatch):
    """A list that gets, for each layer that tried, whether one operation computed it."""
    tried, encoder_layer = [], transformer.encoder_layer

    def noted(*args):
        found = encoder_layer(*args)
        tried.append(found is not None)
        return found

    monkeypatch.setattr(transformer, "encoder_layer", noted)
    return tried


def made(**settings):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(E, 3, 40, **{"batch_first": True, **settings}).eval()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.1 * torch.randn(p.shape, dtype=p.dtype))
    return layer


def masks(which, dtype=torch.float32):
    later = nn.Transformer.generate_square_subsequent_mask(L, dtype=dtype)
    padding = torch.arange(L) >= torch.tensor([[7], [4], [5]])
    return {
        "none": {},
        "causal": {"src_mask": later, "is_causal": True},
        "bool": {"src_mask": later < 0, "src_key_padding_mask": padding},
        "added": {"src_mask": torch.randn(L, L, dtype=dtype)},
        "each head": {"src_mask": torch.randn(N * 3, L, L, dtype=dtype)},
        "padding": {"src_key_padding_mask": padding},
        "causal and padding": {
            "src_mask": later,
            "src_key_padding_mask": torch.zeros(N, L, dtype=dtype).masked_fill(padding, float("-inf")),
            "is_causal": True,
        },
        "nothing to see": {"src_mask": torch.ones(L, L, dtype=torch.bool)},
    }[which]


ALL_MASKS = (
    "none", "causal", "bool", "added", "each head", "padding", "causal and padding", "nothing to see",
)  # fmt: skip


@pytest.mark.parametrize("which", ALL_MASKS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(
    ("activation", "dtype"), [("relu", torch.float32), (F.gelu, torch.float32), (F.relu, torch.float64)]
)
def test_the_values_of_its_parts(taken, activation, dtype, norm_first, batch_first, which):
    layer = made(activation=activation, norm_first=norm_first, batch_first=batch_first, dtype=dtype)
    x, given = torch.randn(N, L, E, dtype=dtype), masks(which, dtype)
    x = x if batch_first else x.transpose(0, 1)
    expected = layer(x, **given)
    assert taken == []
    with torch.no_grad():
        found = layer(x, **given)
    assert taken == [True]
    assert found.shape == expected.shape
    assert found.dtype == dtype
    tolerance = 2e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def test_inference_mode_and_whole_encoder(taken):
    encoder = nn.TransformerEncoder(made(), 3, nn.LayerNorm(E)).eval()
    x = torch.randn(N, L, E)
    expected = encoder(x).detach()
    with torch.inference_mode():
        found = encoder(x)
    assert taken == [True] * 3
    assert found.is_inference()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_weights_are_read_anew(taken):
    layer, x = made(), torch.randn(N, L, E)
    with torch.no_grad():
        before = layer(x)
        layer.linear1.weight.data.mul_(2)
        layer.self_attn.in_proj_weight.data.numpy()[...] *= 0.5
        after = layer(x)
    assert taken == [True] * 2
    assert (before - after).abs().max() > 1e-2
    torch.testing.assert_close(after, layer(x).detach(), rtol=1e-5, atol=1e-5)


def test_not_while_recording_or_training(taken):
    layer, x = made(dropout=0.5), torch.randn(N, L, E)
    layer(x).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    layer.train()
    with torch.no_grad():
        assert (layer(x) != layer(x)).any()
        layer.eval()
        layer.dropout1.train()  # as Monte Carlo dropout has it
        assert (layer(x) != layer(x)).any()
    assert taken == []


PARTS = ["self_attn", "linear1", "dropout", "linear2", "norm1", "norm2", "dropout1", "dropout2"]


@pytest.mark.parametrize("part", PARTS)
def test_hooks_of_a_part_are_called(taken, part):
    layer, x, calls = made(), torch.randn(N, L, E), []
    handle = getattr(layer, part).register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        layer(x)
        handle.remove()
        layer(x)
    assert calls == [1]
    assert taken == [True]


def test_hooks_of_all_modules_are_called(taken):
    layer, calls = made(), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: calls.append(module))
    try:
        with torch.no_grad():
            layer(torch.randn(N, L, E))
    finally:
        handle.remove()
    assert taken == []
    assert {getattr(layer, part) for part in PARTS} | {layer} == set(calls)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", ["subclass", "own forward"])
def test_a_part_that_computes_otherwise_is_called(taken, part, how):
    layer, x, calls = made(), torch.randn(N, L, E), []
    module = getattr(layer, part)
    kind, forward = type(module), module.forward

    def watched(*args, **kwargs):
        calls.append(1)
        return forward(*args, **kwargs)

    if how == "own forward":
        module.forward = watched
    else:
        other = type("Other", (kind,), {"forward": lambda self, *args, **kwargs: watched(*args, **kwargs)})
        module.__class__ = other
    with torch.no_grad():
        layer(x)
    assert calls == [1]
    assert taken == []


def test_other_activations_norms_and_biases(taken):
    x = torch.randn(N, L, E)
    layers = [made(activation=torch.tanh), made(activation=nn.ReLU()), made(bias=False), made()]
    layers[3].norm2.eps = 1e-3
    for layer in layers:
        expected = layer(x).detach()
        with torch.no_grad():
            torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    assert True not in taken


def test_autocast_and_16_bits(taken):
    layer, x = made(), torch.randn(N, L, E)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype in (torch.bfloat16, torch.float32)
    assert taken == []
    half = copy.deepcopy(layer).to(torch.bfloat16)
    expected = half(x.to(torch.bfloat16)).detach()
    with torch.no_grad():
        assert torch.equal(half(x.to(torch.bfloat16)), expected)
    assert taken == [False]


@pytest.mark.parametrize(
    ("x", "given"),
    [
        (torch.zeros(L, E), {}),  # without a batch
        (torch.zeros(N, L, E), {"src_mask": torch.zeros(L, L), "src_key_padding_mask": torch.zeros(N, L) > 0}),
        (torch.zeros(N, 0, E), {}),
    ],
)
def test_what_the_parts_have_to_compute(x, given):
    layer = made()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of masks of different types
        expected = layer(x, **given).detach()
        with torch.no_grad():
            torch.testing.assert_close(layer(x, **given), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "given"),
    [
        (torch.zeros(N, L, E + 1), {}),
        (torch.zeros(N, L, E, dtype=torch.float64), {}),
        (torch.zeros(N, L, E), {"src_mask": torch.zeros(L, L + 1)}),
        (torch.zeros(N, L, E), {"src_key_padding_mask": torch.zeros(N, L + 1) > 0}),
        (torch.zeros(N, L, E), {"src_mask": torch.zeros(L, L, dtype=torch.int64)}),
        (torch.zeros(N, L, E), {"is_causal": True}),
    ],
)
def test_the_errors_of_its_parts(x, given):
    layer = made()
    with pytest.raises((RuntimeError, AssertionError)) as expected:
        layer(x, **given)
    with torch.no_grad(), pytest.raises(type(expected.value)) as found:
        layer(x, **given)
    assert str(found.value) == str(expected.value)
