"""float16 and bfloat16 with Python numbers: what is rounded, and how often."""

import math

import ml_dtypes
import numpy as np
import pytest

import disttorch as torch
from disttorch.nn import functional as F

DTYPES = [pytest.param(np.float16, id="float16"), pytest.param(ml_dtypes.bfloat16, id="bfloat16")]
NUMBERS = [1.003, -0.1, 3, 70000, 1e-9, -1e30, 1e39, math.inf, math.nan, 0.0]
VALUES = np.concatenate([np.random.default_rng(0).standard_normal(200) * 30, [0, np.inf, -np.inf, np.nan, 60000, 1]])


@pytest.fixture(params=DTYPES)
def kind(request):
    return request.param


def tensor(array):
    return torch.tensor(array.astype(np.float32)).to(torch.bfloat16 if array.dtype != np.float16 else torch.float16)


def check(got, expected, kind):
    """Whether the tensor has the elements of the float32 array `expected`, rounded once."""
    with np.errstate(all="ignore"):
        rounded = np.asarray(expected, np.float32).astype(kind).astype(np.float32)
    assert got.dtype is tensor(np.zeros(1, kind)).dtype
    np.testing.assert_array_equal(got.detach().float().numpy(), rounded)


@pytest.mark.parametrize("number", NUMBERS)
def test_products_and_quotients_keep_the_number_in_float32(kind, number):
    x = VALUES.astype(kind)
    wide = x.astype(np.float32)
    t = tensor(x)
    with np.errstate(all="ignore"):
        n = np.float32(number)
        for product in (t * number, number * t, t.clone().mul_(number), t * torch.tensor(number)):
            check(product, wide * n, kind)
        for quotient in (t / number, t.clone().div_(number), t / torch.tensor(number, dtype=torch.float64)):
            check(quotient, wide / n, kind)
        check(torch.div(t, number, rounding_mode="trunc"), np.trunc(wide / n), kind)
        check(t.clone().div_(number, rounding_mode="trunc"), np.trunc(wide / n), kind)
        if number:
            check(t // number, np.floor_divide(wide, n), kind)
        check(number / t, (1 / wide).astype(kind).astype(np.float32) * n, kind)


def test_a_single_divisor_of_16_bits_is_met_in_float32(kind):
    x, y = np.arange(1, 200).astype(kind), np.full(1, 0.7, kind)
    with np.errstate(all="ignore"):
        expected = np.trunc(x.astype(np.float32) / y.astype(np.float32))
    check(torch.div(tensor(x), tensor(y), rounding_mode="trunc"), expected, kind)


def test_several_divisors_are_met_in_steps():
    """The quotient of 3 and -0.00344849 is -869.94, which bfloat16 has as -868 after the steps, -872 at once."""
    x = torch.tensor([-0.003448486328125, 2.0], dtype=torch.bfloat16)
    assert (3 // x).tolist() == [-868, 1]


def test_bounds_of_activations_are_16_bit_numbers(kind):
    bound = float(kind(0.3))
    x = tensor(np.array([bound, -bound, 1], kind))
    assert F.hardshrink(x, 0.3).tolist() == [0, 0, 1]
    assert F.hardtanh(x, -0.3, 0.3).tolist() == [bound, -bound, bound]
    with pytest.raises(RuntimeError, match="without overflow"):
        F.hardtanh(x, 0, 1e39)


def test_other_operations_round_the_number_first(kind):
    """As in PyTorch."""
    x = VALUES.astype(kind)
    with np.errstate(all="ignore"):
        n = np.float32(kind(1.003))
        check(tensor(x) + 1.003, x.astype(np.float32) + n, kind)
        assert torch.equal(tensor(x) < 1.003, tensor(x) < tensor(np.full(1, n, kind)))


@pytest.mark.parametrize("alpha", [0.1, -3, 7, 1 / 3, 1e-9])
def test_sums_with_alpha_are_rounded_once(kind, alpha):
    x = VALUES.astype(kind)
    y = x[::-1].copy()
    with np.errstate(all="ignore"):
        part = y.astype(np.float32) * np.float32(kind(alpha))
        total, difference = x.astype(np.float32) + part, x.astype(np.float32) - part
    check(torch.add(tensor(x), tensor(y), alpha=alpha), total, kind)
    check(tensor(x).add_(tensor(y), alpha=alpha), total, kind)
    check(torch.sub(tensor(x), tensor(y), alpha=alpha), difference, kind)
    check(tensor(x).sub_(tensor(y), alpha=alpha), difference, kind)
    check(torch.add(tensor(x), tensor(y), alpha=alpha, out=torch.empty_like(tensor(x))), total, kind)
    with np.errstate(all="ignore"):
        number = x.astype(np.float32) + np.float32(kind(1.003)) * np.float32(kind(alpha))
    check(torch.add(tensor(x), 1.003, alpha=alpha), number, kind)


def test_gradients_of_sums_with_alpha(kind):
    x, y = tensor(np.ones((1, 200), kind)).requires_grad_(), tensor(np.ones(200, kind)).requires_grad_()
    g = np.linspace(1, 2, 200).astype(kind)
    torch.sub(x, y, alpha=0.3).backward(tensor(g[None]))
    check(x.grad, g[None], kind)
    check(y.grad, g.astype(np.float32) * -np.float32(0.3), kind)
    with pytest.raises(RuntimeError, match=r"size of tensor a \(200\) must match the size of tensor b \(2\)"):
        torch.add(x, tensor(np.ones(2, kind)), alpha=2)


def test_numbers_beyond_the_largest_are_refused_where_they_are_rounded_first(kind):
    x = tensor(np.ones(2, kind))
    name = {np.float16: "Half"}.get(kind, "BFloat16")
    for operation in (
        lambda: torch.add(x, x, alpha=1e39),
        lambda: x.clamp(max=1e39),
        lambda: x.clamp(min=-1e39),
        lambda: x**1e39,
    ):
        with pytest.raises(RuntimeError, match=f"value cannot be converted to type c10::{name} without overflow"):
            operation()
    with pytest.raises(RuntimeError, match="value cannot be converted to type float without overflow"):
        torch.addcmul(x, x, x, value=1e39)
    assert x.clamp(max=math.inf).tolist() == [1, 1]


def test_the_mean_of_more_elements_than_the_dtype_counts_has_a_gradient():
    x = torch.ones(70000, dtype=torch.float16, requires_grad=True)
    x.mean().backward()
    check(x.grad[:2], np.ones(2, np.float32) / np.float32(70000), np.float16)


def test_squares_of_many_differences_have_a_gradient():
    """2 / 70000 is below the normal numbers of float16: halved, it would lose a bit."""
    x = tensor(np.linspace(-9, 9, 70000).astype(np.float16)).requires_grad_()
    F.mse_loss(x, torch.zeros_like(x)).backward()
    check(x.grad, x.detach().float().numpy() * np.float32(np.float16(2 / 70000)), np.float16)


def test_addcmul_multiplies_by_the_number_first(kind):
    rng = np.random.default_rng(1)
    x, a, b = (rng.standard_normal(100000).astype(kind) for _ in range(3))
    wide = [t.astype(np.float32) for t in (x, a, b)]
    check(torch.addcmul(*map(tensor, (x, a, b)), value=0.01), wide[0] + wide[1] * np.float32(0.01) * wide[2], kind)


def test_dropout_multiplies_by_a_scale_of_16_bits(kind):
    x = VALUES[:200].astype(kind)
    torch.manual_seed(0)
    kept = F.dropout(torch.ones(200), 0.3) != 0
    torch.manual_seed(0)
    dropped = F.dropout(tensor(x), 0.3)
    with np.errstate(all="ignore"):
        expected = np.where(kept.numpy(), x.astype(np.float32) * np.float32(kind(1 / 0.7)), 0)
    check(dropped, expected, kind)


def test_gradients_of_activations_are_rounded_once(kind):
    x = np.linspace(-2.9, 2.9, 300).astype(kind)
    t = tensor(x).requires_grad_()
    F.hardswish(t).backward(tensor(np.full(300, 0.7, kind)))
    expected = np.float64(kind(0.7)) * (x.astype(np.float64) / 3 + 0.5)
    low, high = np.sort([(expected * (1 + by)).astype(kind) for by in (-2e-7, 2e-7)], axis=0)  # float32's rounding
    got = t.grad.double().numpy()
    assert (low <= got).all()
    assert (got <= high).all()


def test_functions_of_16_bits_are_rounded_once(kind):
    x = np.linspace(0.1, 9, 300).astype(kind)
    wide = x.astype(np.float32)
    check(tensor(x).rsqrt(), 1 / np.sqrt(wide), kind)
    check(torch.deg2rad(tensor(x)), wide * np.float32(math.pi / 180), kind)
    check(torch.rad2deg(tensor(x)), wide * np.float32(180 / math.pi), kind)


def test_powers_of_bfloat16():
    """PyTorch cubes by two products, each rounded, and takes roots for halves."""
    x = np.linspace(-3, 3, 300).astype(ml_dtypes.bfloat16)
    t = tensor(x).requires_grad_()
    check(t**3, (x * x * x).astype(np.float32), ml_dtypes.bfloat16)
    (t**3).sum().backward()
    check(t.grad, 3 * (x * x).astype(np.float32), ml_dtypes.bfloat16)
    assert torch.tensor([-math.inf], dtype=torch.bfloat16).pow(0.5).isnan().all()
    assert torch.tensor([-0.0], dtype=torch.bfloat16).pow(-0.5).item() == -math.inf
    assert torch.tensor([-math.inf], dtype=torch.float16).pow(0.5).item() == math.inf


def test_on_a_simulated_device(kind, simulated_devices):
    simulated_devices(1)
    x = tensor(np.arange(8).astype(kind)).to("cuda")
    check((x / 70000).cpu(), np.arange(8, dtype=np.float32) / np.float32(70000), kind)
    check(torch.add(x, x, alpha=0.1).cpu(), np.arange(8) * (1 + np.float32(kind(0.1))), kind)


def test_infinite_bfloat16_numbers_become_its_largest():
    x = torch.tensor([math.inf, -math.inf, math.nan], dtype=torch.bfloat16)
    largest = torch.finfo(torch.bfloat16).max
    assert torch.nan_to_num(x).tolist() == [largest, -largest, 0]
