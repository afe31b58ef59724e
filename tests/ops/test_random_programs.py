"""What random programs beside PyTorch showed: errors where there was a wrong value or NumPy's complaint."""

import pytest

import disttorch as torch


def test_einsum_s_diagonal_is_of_a_square():
    with pytest.raises(RuntimeError, match=r"^einsum\(\): subscript i is repeated for operand 0 .*, 3 != 2$"):
        torch.einsum("ii", torch.ones(2, 3))
    assert torch.einsum("ii", torch.ones(3, 3)).item() == 3


def test_booleans_are_not_subtracted_in_place():
    b = torch.tensor([True, False])
    with pytest.raises(RuntimeError, match=r"^Subtraction, the `-` operator, with two bool tensors"):
        b -= b


def test_grids_of_one_dtype():
    with pytest.raises(RuntimeError, match=r"^meshgrid expects all tensors to have the same dtype$"):
        torch.cartesian_prod(torch.ones(2), torch.arange(2))


def test_negative_repeats():
    with pytest.raises(RuntimeError, match=r"^repeats can not be negative$"):
        torch.repeat_interleave(torch.ones(2), torch.tensor([1, -1]))


def test_shapes_that_do_not_fit():
    with pytest.raises(RuntimeError, match=r"^The size of tensor a \(2\) must match the size of tensor b \(3\)"):
        torch.ones(2).copy_(torch.ones(3))
    with pytest.raises(RuntimeError, match=r"^output with shape \[3\] doesn't match the broadcast shape \[2, 3\]$"):
        torch.ones(3).copy_(torch.ones(2, 3))
    with pytest.raises(RuntimeError, match=r"at -1! Mismatching argument at index 1 had \(3,\); .* to \[2\]$"):
        torch.broadcast_shapes((2,), (3,))
    assert torch.broadcast_shapes((2, 1), 3, (1,)) == (2, 3)
    assert torch.broadcast_shapes((0,), (1,)) == (0,)
    assert torch.broadcast_shapes() == ()


def test_padding_s_combinations():
    with pytest.raises(NotImplementedError, match=r"Supported combinations for non-constant padding"):
        torch.nn.functional.pad(torch.ones(1, 1, 2, 2), (1, 1), mode="reflect")


def test_arguments_that_are_none():
    x = torch.ones(2)
    with pytest.raises(RuntimeError, match=r"^Trying to create tensor with negative dimension -2: \[2, -2\]$"):
        x.repeat(2, -1)
    with pytest.raises(RuntimeError, match=r"^split_size can only be 0 if dimension size is 0, but got .* of 2$"):
        x.split(0)
    with pytest.raises(TypeError):
        x.permute(0.5)
    with pytest.raises(TypeError, match=r"^expand_as\(\): argument 'other' \(position 1\) must be Tensor, not float$"):
        x.expand_as(1.5)
    with pytest.raises(NotImplementedError, match=r"^clamp is not supported for complex types$"):
        torch.ones(2, dtype=torch.complex64).clamp(0)


def test_cross_without_a_dimension_is_deprecated():
    with pytest.warns(UserWarning, match=r"^Using torch.cross without specifying the dim arg is deprecated"):
        assert torch.cross(torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])).tolist() == [0.0, 0.0, 1.0]
