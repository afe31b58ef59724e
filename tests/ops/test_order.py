"""Order, sets and quantiles: NaN is larger than any number, equal elements keep their order."""

import math

import pytest

import disttorch

NAN = math.nan


def test_sort_puts_nan_last_and_is_stable():
    values, indices = disttorch.tensor([2.0, NAN, 1.0, 2.0]).sort()
    assert values[:3].tolist() == [1.0, 2.0, 2.0]
    assert indices.tolist() == [2, 0, 3, 1]
    assert disttorch.tensor([2.0, NAN, 1.0, 2.0]).sort(descending=True).indices.tolist() == [1, 0, 3, 2]


def test_topk():
    values, indices = disttorch.tensor([1.0, 5.0, 3.0, 4.0]).topk(2)
    assert values.tolist() == [5.0, 4.0]
    assert indices.tolist() == [1, 3]
    assert disttorch.arange(100.0).topk(3, largest=False).values.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(RuntimeError, match="selected index k out of range"):
        disttorch.ones(3).topk(4)


def test_median_is_the_lower_of_two():
    assert disttorch.tensor([1.0, 4.0, 2.0, 3.0]).median().item() == 2.0
    assert math.isnan(disttorch.tensor([1.0, NAN]).median().item())
    assert disttorch.tensor([1.0, NAN, 3.0]).nanmedian().item() == 1.0


def test_mode_is_the_smallest_of_several():
    values, indices = disttorch.tensor([3, 1, 3, 1, 2]).mode()
    assert (values.item(), indices.item()) == (1, 3)


def test_kthvalue():
    assert disttorch.tensor([3.0, 1.0, 2.0]).kthvalue(2).values.item() == 2.0


@pytest.mark.parametrize(
    ("how", "want"), [("linear", 1.5), ("lower", 1.0), ("higher", 2.0), ("midpoint", 1.5), ("nearest", 2.0)]
)
def test_quantile(how, want):
    x = disttorch.tensor([0.0, 1.0, 2.0, 3.0])
    assert x.quantile(0.5, interpolation=how).item() == want


def test_unique():
    values, inverse, counts = disttorch.tensor([3, 1, 3]).unique(return_inverse=True, return_counts=True)
    assert values.tolist() == [1, 3]
    assert inverse.tolist() == [1, 0, 1]
    assert counts.tolist() == [1, 2]
    assert disttorch.tensor([1, 1, 2, 1]).unique_consecutive().tolist() == [1, 2, 1]
    assert disttorch.tensor([[1, 2], [1, 2], [0, 1]]).unique(dim=0).tolist() == [[0, 1], [1, 2]]


def test_searchsorted_and_counts():
    edges = disttorch.tensor([1.0, 2.0, 3.0])
    assert disttorch.searchsorted(edges, disttorch.tensor([2.0, 2.5])).tolist() == [1, 2]
    assert disttorch.bucketize(disttorch.tensor([2.0]), edges, right=True).tolist() == [2]
    assert disttorch.bincount(disttorch.tensor([0, 2, 2])).tolist() == [1, 0, 2]
    assert disttorch.histc(disttorch.tensor([0.0, 1.0, 2.0]), 2, 0, 2).tolist() == [1.0, 2.0]
    assert disttorch.isin(disttorch.tensor([1, 2]), disttorch.tensor([2])).tolist() == [False, True]


def test_the_gradient_of_max_lies_as_its_input_does():
    x = disttorch.randn(3, 5, 4, dtype=disttorch.float64, requires_grad=True)
    turned = (x * 1).transpose(1, 2)
    strides = []
    turned.register_hook(lambda g: strides.append(g.stride()))
    (turned.max(2).values + turned.min(2).values).sum().backward()
    assert strides == [turned.stride()]
    assert x.grad.sum().item() == 24.0
    assert disttorch.autograd.gradcheck(lambda t: t.transpose(1, 2).max(2).values, x)
    assert disttorch.autograd.gradgradcheck(lambda t: t.transpose(1, 2).max(2).values ** 2, x)


def test_extremes_of_nothing():
    with pytest.raises(RuntimeError, match=r"Expected reduction dim to be specified for input\.numel"):
        disttorch.empty(0).max()
    with pytest.raises(IndexError, match="Expected reduction dim 0 to have non-zero size"):
        disttorch.empty(0).argmax(0)
