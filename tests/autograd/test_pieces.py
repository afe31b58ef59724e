"""The pieces of one tensor share a node, which joins their gradients."""

import pytest

import disttorch as torch
from disttorch.autograd import gradcheck, gradgradcheck


def test_pieces_share_a_node():
    x = torch.ones(4, 6, requires_grad=True)
    first, second, third = x.split(2, 1)
    assert first.grad_fn is second.grad_fn is third.grad_fn
    assert [first.output_nr, second.output_nr, third.output_nr] == [0, 1, 2]
    (first * 2 + third**2).sum().backward()
    assert x.grad.tolist() == [[2, 2, 0, 0, 2, 2]] * 4


@pytest.mark.parametrize(
    "cut", [lambda z: z.split([1, 3, 2], 1), lambda z: z.chunk(2, 1), lambda z: z.unbind(1), lambda z: z.unbind(0)]
)
def test_derivatives_of_pieces(cut):
    z = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda z: cut(z)[1] ** 2 * cut(z)[0].sum(), z)
    assert gradgradcheck(lambda z: cut(z)[1] ** 2 * cut(z)[0].sum(), z)


def test_pieces_follow_a_change_of_the_whole():
    x = torch.ones(4, requires_grad=True)
    whole = x * 1
    first, _ = whole.split(2)
    whole.mul_(3)
    first.sum().backward()
    assert x.grad.tolist() == [3, 3, 0, 0]
