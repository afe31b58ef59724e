"""Which element types operations know, with PyTorch's words for the others; results that are no longer the argument."""

import pytest

import disttorch as torch

REFUSED = {  # an operation on elements of that dtype: the kernel that PyTorch names
    "abs": ("bool", "abs_cpu"),
    "floor": ("bool", "floor_vml_cpu"),
    "frac": ("int64", "frac_cpu"),
    "round": ("complex64", "round_vml_cpu"),
    "logit": ("complex64", "logit_cpu"),
    "lgamma": ("complex64", "lgamma_vml_cpu"),
    "erf": ("complex64", "erf_vml_cpu"),
    "erfinv": ("complex128", "erfinv_vml_cpu"),
    "median": ("bool", "median_cpu"),
    "histc": ("int64", "histogram_cpu"),
    "unique": ("complex64", "unique"),
}
NAMES = {"bool": "Bool", "int64": "Long", "complex64": "ComplexFloat", "complex128": "ComplexDouble"}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    dtype, kernel = REFUSED[name]
    with pytest.raises(NotImplementedError, match=f"^\"{kernel}\" not implemented for '{NAMES[dtype]}'$"):
        getattr(torch, name)(torch.ones(2, dtype=getattr(torch, dtype)))


PAIRS = {
    "floor_divide": ("bool", "div_floor_cpu"),
    "fmod": ("bool", "fmod_cpu"),
    "pow": ("bool", "pow"),
    "hypot": ("int64", "hypot_cpu"),
    "nextafter": ("int64", "nextafter_cpu"),
    "logaddexp": ("int64", "logaddexp_cpu"),
    "xlogy": ("complex64", "xlogy_cpu"),
    "igamma": ("int64", "igamma_cpu"),
    "bitwise_left_shift": ("bool", "lshift_cpu"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_refused(name):
    dtype, kernel = PAIRS[name]
    x = torch.ones(2, dtype=getattr(torch, dtype))
    with pytest.raises(NotImplementedError, match=f"^\"{kernel}\" not implemented for '{NAMES[dtype]}'$"):
        getattr(torch, name)(x, x)


def test_no_order_and_no_numbers():
    c, b = torch.ones(2, dtype=torch.complex64), torch.tensor([True, False])
    for call in (lambda: c.topk(1), lambda: c.sort(), lambda: c.cummax(0), lambda: c.kthvalue(1), lambda: b.topk(1)):
        with pytest.raises((RuntimeError, NotImplementedError)):
            call()
    with pytest.raises(RuntimeError, match=r"^nansum on CPU does not support complex inputs$"):
        c.nansum()
    with pytest.raises(RuntimeError, match=r"can't be cast to the desired output type Long$"):
        torch.nn.functional.dropout(torch.ones(2).long())


def test_whole_numbers_are_copied():
    """Rounding whole numbers gives a tensor of its own."""
    x = torch.tensor([1, 2])
    for name in ("floor", "ceil", "trunc", "round"):
        getattr(x, name)().add_(1)
    b = torch.tensor([True])
    b.sign().logical_not_()
    assert x.tolist() == [1, 2]
    assert b.tolist() == [True]


def test_numbers_beside_tensors_leave_the_dtype():
    x = torch.tensor([0.0, 2.0])
    assert torch.special.xlogy(x, 2).dtype is torch.special.xlog1py(x, 2.0).dtype is torch.float32
    assert torch.add(torch.tensor([True]), torch.tensor([False]), alpha=True).dtype is torch.bool
    i, b = torch.tensor([2], dtype=torch.int32), torch.tensor([200], dtype=torch.uint8)
    assert i.sub(b, alpha=2).tolist() == [-398]  # the product does not wrap around at 255


def test_complex_logarithms_of_sums():
    a = torch.tensor([1 + 2j, 0.5j])
    both = torch.logaddexp(a, a.flip(0))
    assert torch.allclose(both, (a.exp() + a.flip(0).exp()).log())
    assert torch.allclose(torch.logcumsumexp(a, 0)[1], both[1])


def test_two_numbers():
    made = [torch.add(2, 3), torch.sub(2, 3), torch.mul(2, 3.0), torch.div(1, 2), torch.floor_divide(7, 2)]
    assert [t.item() for t in made] == [5, -1, 6.0, 0.5, 3]
    assert [t.dtype for t in made] == [torch.int64, torch.int64, torch.float32, torch.float32, torch.int64]
    assert torch.add(2, torch.ones(1), alpha=3).tolist() == [5.0]
    assert torch.add(2, 3, alpha=3).item() == 11
    with pytest.raises(TypeError):
        torch.eq(1, 2)


def test_no_dimensions():
    x = torch.ones(2, 1, 3)
    assert x.squeeze([]).shape == x.squeeze(()).shape == (2, 1, 3)
    assert torch.tensor([True, False]).all(dim=()).tolist() == [True, False]


def test_methods_whose_tensor_is_not_the_first_argument():
    x, other = torch.tensor([1.0, 2.0]), torch.tensor([5.0, 6.0])
    assert x.where(torch.tensor([True, False]), other).tolist() == [1.0, 6.0]
    assert x.where(torch.tensor([False, True]), 0).tolist() == [0.0, 2.0]
    b = torch.tensor([True, True])
    assert b.where(torch.tensor([True, False]), ~b).tolist() == [True, False]
    assert torch.equal(x.polygamma(1), torch.polygamma(1, x))


def test_new_tensors_by_name():
    x = torch.ones(1, dtype=torch.int64)
    assert x.new_zeros(size=(2, 3)).shape == x.new_ones(size=(2, 3)).shape == x.new_empty(size=(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError):
        x.new_zeros(2, wrong=1)


def test_pieces_must_be_equal():
    with pytest.raises(RuntimeError, match=r"not divisible by the split_size 3!$"):
        torch.ones(2, 2).vsplit(3)
    assert [p.shape[1] for p in torch.ones(2, 4).hsplit(2)] == [2, 2]


def test_repeats_alone():
    assert torch.repeat_interleave(torch.tensor([1, 2], dtype=torch.int32)).dtype is torch.int32
    with pytest.raises(RuntimeError, match=r"^allocated size does not match required size$"):
        torch.repeat_interleave(torch.ones(2), torch.tensor([1, 2]), output_size=5)


def test_the_maximum_is_invisible_to_cosine_similarity_s_gradient():
    x = torch.tensor([[0.3, 0.4]], requires_grad=True)
    torch.cosine_similarity(x, torch.tensor([[1.0, 0.0]]), eps=1.0).sum().backward()
    # d/dx (x0 / n) with n = 1 as clamped, and n' = x / 0.5 as if it were not
    assert torch.allclose(x.grad, torch.tensor([[1 - 0.3 * 0.6, -0.3 * 0.8]]))


def test_positional_size_average():
    x, y = torch.ones(3), torch.zeros(3)
    with pytest.warns(UserWarning, match="size_average"):
        assert torch.nn.functional.mse_loss(x, y, 0).item() == 3.0
    assert torch.nn.functional.l1_loss(x.long(), y.long(), reduction="sum").item() == 3
