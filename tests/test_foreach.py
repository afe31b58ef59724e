"""Functions of lists of tensors."""

import pytest

import disttorch as torch


def some():
    return [torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [4.0]])]


def lists(tensors):
    return [t.tolist() for t in tensors]


@pytest.mark.parametrize(
    "other", [2.0, [2.0, 3.0], torch.tensor(2.0), [torch.full((2,), 2.0), torch.full((2, 1), 3.0)]]
)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum", "minimum"])
def test_one_number_for_all_or_one_for_each(name, other):
    tensors, each = some(), other if isinstance(other, list) else [other] * 2
    expected = lists(getattr(torch, name)(t, torch.as_tensor(x)) for t, x in zip(tensors, each, strict=True))
    assert lists(getattr(torch, f"_foreach_{name}")(tensors, other)) == expected
    assert lists(tensors) == lists(some())
    memory = [t.data_ptr() for t in tensors]
    getattr(torch, f"_foreach_{name}_")(tensors, other)
    assert lists(tensors) == expected
    assert [t.data_ptr() for t in tensors] == memory


@pytest.mark.parametrize("name", ["sqrt", "neg", "exp", "reciprocal", "abs"])
def test_without_others(name):
    expected = lists(getattr(torch, name)(t) for t in some())
    assert lists(getattr(torch, f"_foreach_{name}")(some())) == expected


def test_the_rest():
    tensors = some()
    torch._foreach_lerp_(tensors, [torch.zeros(2), torch.zeros(2, 1)], weight=0.5)
    assert lists(tensors) == [[0.5, 1], [[1.5], [2]]]
    torch._foreach_addcmul_(tensors, some(), some(), value=2)
    assert lists(tensors) == [[2.5, 9], [[19.5], [34]]]
    torch._foreach_addcdiv_(tensors, some(), some(), [1, 2])
    assert lists(tensors) == [[3.5, 10], [[21.5], [36]]]
    torch._foreach_copy_(tensors, some())
    assert lists(torch._foreach_norm(tensors)) == [pytest.approx(5**0.5), 5.0]
    assert lists(torch._foreach_max(tensors)) == [2, 4]
    assert lists(torch._foreach_add(tensors, some(), alpha=2)) == [[3, 6], [[9], [12]]]
    assert lists(torch._foreach_pow(2, [torch.tensor([3.0])])) == [[8]]
    copies = torch._foreach_clone(tensors)
    torch._foreach_zero_(tensors)
    torch._foreach_mul_(tensors, scalar=3)
    assert lists(tensors) == [[0, 0], [[0], [0]]]
    assert lists(copies) == lists(some())


def test_lists_that_do_not_fit():
    with pytest.raises(RuntimeError, match="Tensor list must have at least one tensor"):
        torch._foreach_add([], 1)
    with pytest.raises(RuntimeError, match="same number of elements as scalar list, got 2 and 1"):
        torch._foreach_add(some(), [1])
    with pytest.raises(TypeError, match="missing 1 required positional"):
        torch._foreach_mul(some())
    with pytest.raises(AttributeError, match="_foreach_nothing"):
        torch._foreach_nothing  # noqa: B018
