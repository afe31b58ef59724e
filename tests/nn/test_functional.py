"""Values of the operations of neural networks that can be told without PyTorch."""

import math

import numpy as np
import pytest

import disttorch
import disttorch.nn.functional as F
from disttorch import ones, tensor, zeros
from disttorch.ops import recurrent


def close(a, b, tolerance=1e-6):
    np.testing.assert_allclose(
        a.detach().numpy(), b.detach().numpy() if hasattr(b, "detach") else np.asarray(b), tolerance, tolerance
    )


# -- convolution ------------------------------------------------------------------------------------------------------
def test_conv2d_is_a_sum_over_windows():
    x, w = disttorch.randn(2, 3, 5, 6), disttorch.randn(4, 3, 2, 3)
    windows = F.unfold(x, (2, 3))  # (N, C * K, P)
    close(
        F.conv2d(x, w, tensor([1.0, 2, 3, 4])),
        (w.reshape(4, -1) @ windows).reshape(2, 4, 4, 4) + tensor([1.0, 2, 3, 4]).reshape(4, 1, 1),
        1e-5,
    )


def test_conv2d_in_groups_is_convolutions_side_by_side():
    x, w = disttorch.randn(2, 4, 5, 5), disttorch.randn(6, 2, 3, 3)
    parts = [F.conv2d(a, b) for a, b in zip(x.chunk(2, 1), w.chunk(2), strict=True)]
    close(F.conv2d(x, w, groups=2), disttorch.cat(parts, 1), 1e-5)


@pytest.mark.parametrize(
    ("stride", "padding", "output_padding", "dilation"), [(1, 0, 0, 1), (2, 1, 1, 1), (3, 2, 1, 2)]
)
def test_transposed_convolution_is_the_adjoint(stride, padding, output_padding, dilation):
    w, y = disttorch.randn(3, 2, 3, 3), disttorch.randn(1, 3, 4, 4)
    wide = F.conv_transpose2d(y, w, None, stride, padding, output_padding, 1, dilation)
    x = disttorch.randn(*wide.shape)
    left = (F.conv2d(x, w, None, stride, padding, dilation) * y).sum()
    close(left, (x * wide).sum(), 1e-4)


def test_padding_same_keeps_the_size_and_unbatched_inputs_stay_so():
    x = disttorch.randn(3, 7)
    assert F.conv1d(x, disttorch.randn(5, 3, 4), padding="same", dilation=2).shape == (5, 7)
    assert F.conv1d(x, disttorch.randn(5, 3, 4), padding="valid").shape == (5, 4)
    assert F.conv_transpose1d(x, disttorch.randn(3, 5, 4)).shape == (5, 10)


# -- pooling ----------------------------------------------------------------------------------------------------------
def test_max_pool_finds_maxima_and_where_they_were():
    x = disttorch.arange(16.0).reshape(1, 1, 4, 4)
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    assert values.tolist() == [[[[5, 7], [13, 15]]]]
    assert indices.tolist() == [[[[5, 7], [13, 15]]]]
    back = F.max_unpool2d(values, indices, 2)
    assert back.reshape(-1).nonzero().reshape(-1).tolist() == [5, 7, 13, 15]


def test_average_pooling_counts_what_it_is_told_to():
    x = ones(1, 1, 3)
    assert F.avg_pool1d(x, 3, 1, 1).tolist() == [[[pytest.approx(2 / 3), 1, pytest.approx(2 / 3)]]]
    assert F.avg_pool1d(x, 3, 1, 1, count_include_pad=False).tolist() == [[[1, 1, 1]]]
    assert F.avg_pool2d(ones(1, 1, 2, 2), 2, divisor_override=8).item() == 0.5


def test_adaptive_pooling_gives_the_size_asked_for():
    x = disttorch.randn(2, 3, 5, 7)
    close(F.adaptive_avg_pool2d(x, 1), x.mean((2, 3), keepdim=True))
    assert F.adaptive_avg_pool2d(x, (None, 3)).shape == (2, 3, 5, 3)
    close(F.adaptive_max_pool2d(x, 1).reshape(2, 3), x.amax((2, 3)))


# -- normalisation ----------------------------------------------------------------------------------------------------
def test_batch_norm_standardises_and_moves_the_running_statistics():
    x = disttorch.randn(8, 3, 4) * 2 + 5
    mean, var = zeros(3), ones(3)
    y = F.batch_norm(x, mean, var, training=True, momentum=0.1)
    close(y.mean((0, 2)), zeros(3), 1e-5)
    close(y.var((0, 2), correction=0), ones(3), 1e-4)
    close(mean, x.mean((0, 2)) * 0.1, 1e-5)
    close(var, x.var((0, 2)) * 0.1 + 0.9, 1e-5)
    assert mean._version == 1
    close(F.batch_norm(x, mean, var), (x - mean.reshape(3, 1)) / (var.reshape(3, 1) + 1e-5).sqrt(), 1e-5)


def test_group_norm_with_a_group_a_channel_is_instance_norm_and_with_one_is_layer_norm():
    x = disttorch.randn(2, 4, 5)
    close(F.group_norm(x, 4), F.instance_norm(x), 1e-5)
    close(F.group_norm(x, 1), F.layer_norm(x, (4, 5)), 1e-5)


def test_rms_norm():
    x = disttorch.randn(3, 4)
    close(F.rms_norm(x, (4,), eps=1e-5), x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt(), 1e-5)


# -- losses -----------------------------------------------------------------------------------------------------------
def test_cross_entropy_is_nll_of_log_softmax():
    x, t, w = disttorch.randn(5, 4, 3), disttorch.randint(0, 4, (5, 3)), disttorch.rand(4)
    t[0, 0] = -100
    for reduction in ("mean", "sum", "none"):
        close(
            F.cross_entropy(x, t, w, reduction=reduction),
            F.nll_loss(F.log_softmax(x, 1), t, w, reduction=reduction),
            1e-5,
        )


def test_cross_entropy_smoothing_mixes_with_the_uniform_distribution():
    x, t = disttorch.randn(5, 4), disttorch.randint(0, 4, (5,))
    soft = F.one_hot(t, 4).float() * 0.8 + 0.2 / 4
    close(F.cross_entropy(x, t, label_smoothing=0.2), F.cross_entropy(x, soft), 1e-5)


def test_an_ignored_target_has_no_smoothed_loss_where_its_logits_are_infinite():
    x, t = tensor([[1.0, 0.5, 2.0], [0.5, 1.0, -math.inf]]), tensor([1, -100])
    for reduction in ("none", "mean", "sum"):
        alone = F.cross_entropy(x[:1], t[:1], label_smoothing=0.1, reduction="sum").item()
        expected = [alone, 0] if reduction == "none" else alone
        close(F.cross_entropy(x, t, label_smoothing=0.1, reduction=reduction), np.asarray(expected))


def test_the_loss_of_certain_predictions_is_0_without_a_sign():
    logits, target = disttorch.tensor([[200.0, 0.0], [3.0, 4.0]]), disttorch.tensor([0, -100])
    for reduction in ("mean", "sum"):
        assert repr(F.cross_entropy(logits, target, reduction=reduction)) == "tensor(0.)"
        assert repr(F.cross_entropy(logits[:0], target[:0], reduction="sum")) == "tensor(0.)"
    assert repr(F.cross_entropy(logits, target, reduction="none")) == "tensor([-0., 0.])"


def test_cross_entropy_of_nothing_but_ignored_targets_is_nan():
    assert math.isnan(F.cross_entropy(ones(2, 3), tensor([-100, -100])).item())


def test_binary_cross_entropy_with_logits_survives_large_logits():
    x = tensor([1000.0, -1000.0])
    assert F.binary_cross_entropy_with_logits(x, tensor([1.0, 0.0])).item() == 0
    assert F.binary_cross_entropy_with_logits(x, tensor([0.0, 1.0])).item() == 1000


def test_ctc_loss_sums_over_all_alignments():
    log_probs = F.log_softmax(disttorch.randn(3, 1, 3, dtype=disttorch.float64), 2)
    p = log_probs.exp()[:, 0]
    total = 0
    for path in np.ndindex(3, 3, 3):
        merged = [k for i, k in enumerate(path) if (i == 0 or path[i - 1] != k) and k != 0]
        if merged == [1, 2]:
            total += math.prod(p[t, k].item() for t, k in enumerate(path))
    close(F.ctc_loss(log_probs, tensor([[1, 2]]), (3,), (2,), reduction="sum"), -math.log(total))
    assert F.ctc_loss(log_probs, tensor([[1, 1]]), (2,), (2,), zero_infinity=True).item() == 0


# -- embedding and dropout --------------------------------------------------------------------------------------------
def test_embedding_scales_long_rows_down_in_place():
    table = tensor([[3.0, 4.0], [0.3, 0.4]])
    close(F.embedding(tensor([0, 1]), table, max_norm=1.0).norm(dim=1), [1.0, 0.5], 1e-5)
    close(table.norm(dim=1), [1.0, 0.5], 1e-5)


def test_embedding_bag_modes_and_offsets():
    table = disttorch.arange(8.0).reshape(4, 2)
    indices, offsets = tensor([0, 1, 3]), tensor([0, 2, 3])
    assert F.embedding_bag(indices, table, offsets, mode="sum").tolist() == [[2, 4], [6, 7], [0, 0]]
    assert F.embedding_bag(indices, table, offsets).tolist() == [[1, 2], [6, 7], [0, 0]]
    assert F.embedding_bag(indices, table, offsets, mode="max").tolist() == [[2, 3], [6, 7], [0, 0]]


def test_dropout_keeps_the_mean_and_is_off_in_evaluation():
    x = ones(100, 100)
    y = F.dropout(x, 0.25)
    assert y.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert abs(y.mean().item() - 1) < 0.05
    assert F.dropout(x, 0.25, training=False) is x
    assert F.dropout(x, 1.0).sum().item() == 0
    channels = F.dropout2d(ones(10, 10, 4, 4))
    assert all(v in (0, 32) for v in channels.sum((2, 3)).reshape(-1).tolist())


# -- attention --------------------------------------------------------------------------------------------------------
def test_attention_is_a_softmax_of_scaled_products():
    q, k, v = disttorch.randn(2, 3, 4), disttorch.randn(2, 5, 4), disttorch.randn(2, 5, 6)
    weights = F.softmax(q @ k.transpose(1, 2) / 2, -1)
    close(F.scaled_dot_product_attention(q, k, v), weights @ v, 1e-5)


def test_a_query_that_may_see_nothing_gets_zeros():
    mask = tensor([[True, False], [False, False]])
    y = F.scaled_dot_product_attention(disttorch.randn(2, 3), disttorch.randn(2, 3), tensor([[1.0], [2.0]]), mask)
    assert y.tolist() == [[1.0], [0.0]]


def test_causal_attention_does_not_look_ahead():
    q = disttorch.randn(4, 3)
    whole = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    close(whole[:2], F.scaled_dot_product_attention(q[:2], q[:2], q[:2], is_causal=True), 1e-5)


# -- shapes and space -------------------------------------------------------------------------------------------------
def test_padding_modes():
    x = tensor([[1.0, 2, 3]])
    assert F.pad(x, (1, 2)).tolist() == [[0, 1, 2, 3, 0, 0]]
    assert F.pad(x, (-1, 1), value=9).tolist() == [[2, 3, 9]]
    assert F.pad(x, (2, 1), "reflect").tolist() == [[3, 2, 1, 2, 3, 2]]
    assert F.pad(x, (2, 1), "replicate").tolist() == [[1, 1, 1, 2, 3, 3]]
    assert F.pad(x, (2, 1), "circular").tolist() == [[2, 3, 1, 2, 3, 1]]


@pytest.mark.parametrize("widths", [(-4, 5), (5, -4), (-2, -2), (-4, 0), (0, 0, -2, 5)])
def test_padding_that_cuts_more_than_there_is(widths):
    with pytest.raises(RuntimeError, match=r"narrow\(\): length must be non-negative\."):
        F.pad(ones(1, 3), widths)
    assert F.pad(ones(3), (-3, 2), value=4).tolist() == [4, 4]


def test_fold_undoes_unfold_up_to_the_count_of_windows():
    x = disttorch.randn(1, 2, 5, 5)
    counts = F.fold(F.unfold(ones(1, 2, 5, 5), 3, padding=1), (5, 5), 3, padding=1)
    close(F.fold(F.unfold(x, 3, padding=1), (5, 5), 3, padding=1), x * counts, 1e-5)


def test_pixel_shuffle_and_back():
    x = disttorch.randn(2, 8, 3, 3)
    assert F.pixel_shuffle(x, 2).shape == (2, 2, 6, 6)
    assert disttorch.equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)


def test_interpolation():
    x = tensor([[[0.0, 1.0]]])
    assert F.interpolate(x, scale_factor=2).tolist() == [[[0, 0, 1, 1]]]
    assert F.interpolate(x, size=3, mode="linear", align_corners=True).tolist() == [[[0, 0.5, 1]]]
    assert F.interpolate(x, size=4, mode="linear").tolist() == [[[0, 0.25, 0.75, 1]]]
    picture = disttorch.randn(1, 1, 4, 4)
    close(F.interpolate(picture, size=2, mode="area"), F.avg_pool2d(picture, 2))
    for mode in ("bilinear", "bicubic"):  # a weighted mean: a flat picture stays flat
        close(F.interpolate(ones(1, 1, 5, 7), size=(3, 11), mode=mode, antialias=True), ones(1, 1, 3, 11), 1e-5)


def test_an_identity_grid_samples_the_picture_itself():
    x = disttorch.randn(1, 2, 4, 5)
    theta = tensor([[[1.0, 0, 0], [0, 1, 0]]])
    for align in (True, False):
        grid = F.affine_grid(theta, (1, 2, 4, 5), align)
        for mode in ("bilinear", "nearest", "bicubic"):
            close(F.grid_sample(x, grid, mode, align_corners=align), x, 1e-5)


def test_what_lies_outside_of_a_picture_is_zero_whatever_is_in_it():
    x = disttorch.full((2, 1, 3, 3), float("nan"))
    x[:, 0, 1, 1] = tensor([2.0, 3.0])
    grid = tensor([[[[-5.0, -5.0], [7.0, 0.0]]], [[[0.0, -9.0], [3.0, 3.0]]]])
    for mode in ("bilinear", "nearest", "bicubic"):
        assert F.grid_sample(x, grid, mode, align_corners=True).tolist() == [[[[0, 0]]], [[[0, 0]]]]
    assert F.grid_sample(x, grid * 0, "nearest", align_corners=True).tolist() == [[[[2, 2]]], [[[3, 3]]]]


def test_grid_sample_of_each_sample_at_its_own_places():
    x, grid = disttorch.randn(3, 2, 4, 5), disttorch.rand(3, 6, 7, 2) * 2.4 - 1.2
    whole = F.grid_sample(x, grid, align_corners=False)
    assert whole.is_contiguous()
    for i in range(3):
        close(whole[i : i + 1], F.grid_sample(x[i : i + 1], grid[i : i + 1], align_corners=False), 1e-6)


# -- recurrent --------------------------------------------------------------------------------------------------------
def weights(gates, features, hidden):
    return [disttorch.randn(gates * hidden, n) for n in (features, hidden)] + [
        disttorch.randn(gates * hidden) for _ in range(2)
    ]


def test_lstm_layer_is_its_cell_step_after_step():
    x, w = disttorch.randn(4, 2, 3), weights(4, 3, 5)
    h = c = zeros(2, 5)
    y, h_n, c_n = recurrent.lstm(x, (zeros(1, 2, 5), zeros(1, 2, 5)), w, True, 1, 0.0, False, False, False)
    for t in range(4):
        h, c = recurrent.lstm_cell(x[t], (h, c), *w)
        close(y[t], h, 1e-4)
    close(h_n[0], h, 1e-4)
    close(c_n[0], c, 1e-4)


def test_packed_sequences_are_those_of_their_lengths():
    x, w = disttorch.randn(4, 2, 3), weights(3, 3, 5) + weights(3, 3, 5)
    packed = disttorch.cat([x[0], x[1], x[2, :1], x[3, :1]])  # lengths 4 and 2
    y, h = recurrent.gru(packed, tensor([2, 2, 1, 1]), zeros(2, 2, 5), w, True, 1, 0.0, False, True)
    for n, length in ((0, 4), (1, 2)):
        alone, last = recurrent.gru(x[:length, n : n + 1], zeros(2, 1, 5), w, True, 1, 0.0, False, True, False)
        rows = [0, 2, 4, 5] if n == 0 else [1, 3]
        close(y[tensor(rows)], alone[:, 0], 1e-4)
        close(h[:, n], last[:, 0], 1e-4)


# -- the graph --------------------------------------------------------------------------------------------------------
def test_names_of_nodes_are_pytorchs():
    x = disttorch.randn(2, 3, 8, 8, requires_grad=True)
    y = F.conv2d(x, disttorch.randn(4, 3, 3, 3))
    names = [
        (y, "ConvolutionBackward0"),
        (F.max_pool2d(y, 2), "MaxPool2DWithIndicesBackward0"),
        (F.batch_norm(y, None, None, training=True), "NativeBatchNormBackward0"),
        (F.relu(y), "ReluBackward0"),
        (F.log_softmax(y, 1), "LogSoftmaxBackward0"),
        (F.linear(y, ones(5, 6), ones(5)), "AddmmBackward0"),
        (F.mse_loss(y, y.detach()), "MseLossBackward0"),
        (F.cross_entropy(y[:, :, 0, 0], tensor([0, 1])), "NllLossBackward0"),
        (F.layer_norm(y, (6,)), "NativeLayerNormBackward0"),
    ]
    for result, name in names:
        assert result.grad_fn.name() == name


def test_relu_in_place_allocates_nothing_and_is_noticed():
    x = disttorch.randn(4, requires_grad=True)
    y = x * 2
    address = y.data_ptr()
    assert F.relu(y, inplace=True) is y
    assert y.data_ptr() == address
    y.sum().backward()
    assert x.grad.tolist() == [2.0 if v > 0 else 0.0 for v in x.tolist()]
    z = (x * 2).sigmoid()
    F.relu_(z)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_half_precision_is_computed_in_single():
    x = disttorch.randn(3, 4)
    for name in ("softmax", "gelu", "silu", "softplus", "layer_norm"):
        extra = {"softmax": (1,), "layer_norm": ((4,),)}.get(name, ())
        low = getattr(F, name)(x.half(), *extra)
        assert low.dtype is disttorch.float16
        close(low.float(), getattr(F, name)(x.half().float(), *extra), 2e-3)


def test_attention_drops_weights():
    disttorch.manual_seed(0)
    q, k = disttorch.randn(2, 3, 20, 4), disttorch.randn(2, 3, 20, 4)
    weights = disttorch.softmax(q @ k.transpose(-2, -1) / 2, -1)
    found = F.scaled_dot_product_attention(q, k, disttorch.eye(20).expand(2, 3, 20, 20), dropout_p=0.25)
    kept = found != 0
    disttorch.testing.assert_close(found, disttorch.where(kept, weights / 0.75, zeros(())), rtol=1e-5, atol=1e-6)
    assert 0.7 < kept.float().mean().item() < 0.8


@pytest.mark.parametrize(
    "loss", ["mse_loss", "smooth_l1_loss", "huber_loss", "l1_loss", "binary_cross_entropy_with_logits"]
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_long_tensors_are_those_of_their_parts(loss, reduction):
    disttorch.manual_seed(0)
    x, y = (2 * disttorch.randn(100_000)).requires_grad_(), disttorch.rand(100_000).requires_grad_()
    value = getattr(F, loss)(x, y, reduction=reduction)
    grads = disttorch.autograd.grad(value.sum(), (x, y))
    parts = [getattr(F, loss)(a, b, reduction="none") for a, b in zip(x.split(1000), y.split(1000), strict=True)]
    joined = disttorch.cat(parts)
    expected = joined.mean() if reduction == "mean" else joined.sum() if reduction == "sum" else joined
    assert disttorch.allclose(value, expected, rtol=1e-5)
    for found, wanted in zip(grads, disttorch.autograd.grad(expected.sum(), (x, y)), strict=True):
        assert disttorch.allclose(found, wanted, rtol=1e-5, atol=1e-11 if reduction == "mean" else 1e-6)


@pytest.mark.parametrize("loss", ["smooth_l1_loss", "huber_loss"])
def test_huber_and_smooth_l1_at_their_bounds_and_beyond(loss):
    d = disttorch.tensor([0.0, 0.5, 2.0, -2.0, 3.0, -3.0, math.inf, -math.inf, math.nan])
    setting = {"beta": 2.0} if loss == "smooth_l1_loss" else {"delta": 2.0}
    value = getattr(F, loss)(d, disttorch.zeros(9), reduction="none", **setting)
    expected = disttorch.tensor([0.0, 0.125, 2.0, 2.0, 4.0, 4.0, math.inf, math.inf, math.nan])
    if loss == "smooth_l1_loss":
        expected = disttorch.tensor([0.0, 0.0625, 1.0, 1.0, 2.0, 2.0, math.inf, math.inf, math.nan])
    assert value[:-1].tolist() == expected[:-1].tolist()
    assert value[-1].isnan()


@pytest.mark.parametrize("loss", ["mse_loss", "smooth_l1_loss", "huber_loss"])
def test_losses_carry_nan_and_infinities_to_their_gradients(loss):
    x, y = disttorch.ones(3000).requires_grad_(), disttorch.zeros(3000)
    y[1:3] = tensor([math.inf, math.nan])
    value = getattr(F, loss)(x, y, reduction="sum")
    (grad,) = disttorch.autograd.grad(value, x)
    assert value.isnan()
    assert grad[1] == (-math.inf if loss == "mse_loss" else -1)
    assert grad[2].isnan()
    assert getattr(F, loss)(x[:2], y[:2]) == math.inf


@pytest.mark.parametrize(("loss", "slope"), [("mse_loss", 1.0), ("smooth_l1_loss", 0.5), ("huber_loss", 0.5)])
def test_losses_of_single_numbers_have_gradients(loss, slope):
    x = tensor(0.5).requires_grad_()
    getattr(F, loss)(x, tensor(0.0)).backward()
    assert x.grad.item() == slope


@pytest.mark.parametrize("dtypes", [["float32"], ["float64"], ["float32", "float64"], ["bfloat16", "float32"]])
@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
def test_total_norm_of_several_gradients(dtypes, order):
    shapes = [(3, 4), (), (0,), (100, 90), (7,)]
    tensors = [
        disttorch.linspace(-1, 2, math.prod(s)).reshape(s).to(getattr(disttorch, dtypes[k % len(dtypes)]))
        for k, s in enumerate(shapes)
        if order != math.inf or math.prod(s)
    ]
    tensors[0] = tensors[0].t()
    found = disttorch.nn.utils.get_total_norm(tensors, order)
    every = np.concatenate([t.double().numpy().ravel() for t in tensors])
    np.testing.assert_allclose(found.item(), np.linalg.norm(every, order), rtol=1e-2 if "bfloat16" in dtypes else 1e-5)
    assert found.dtype is (disttorch.float64 if dtypes[-1] == "float64" else disttorch.float32)
    tensors[1][...] = math.nan
    assert disttorch.nn.utils.get_total_norm(tensors, order).isnan()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 5)])
def test_ignoring_every_target_gives_no_gradient(loss, shape):
    x = ones(shape).requires_grad_()
    value = loss(x, disttorch.full((shape[0], *shape[2:]), -100))
    value.backward()
    assert value.isnan()
    assert (x.grad == 0).all()
