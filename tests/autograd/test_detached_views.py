"""Views of tensors that were cut from the graph can be changed in place, also where the source is a leaf."""

import pytest

import disttorch
from disttorch import nn


def test_views_of_detached_leaves():
    x = disttorch.ones(3, requires_grad=True)
    x.detach()[0] = 5
    x.detach()[:2].add_(1)
    assert x.tolist() == [6, 2, 1]
    p = nn.Parameter(disttorch.ones(3))
    p.data[:] += 1
    p.data[0] = 100
    assert p.tolist() == [100, 2, 2]


def test_their_changes_are_still_noticed():
    y = disttorch.ones(3, requires_grad=True) * 2
    z = (y * y).sum()
    y.detach()[1:].mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_views_of_leaves_cannot_be_changed():
    x = disttorch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[:1].add_(1)


def test_what_a_tensor_is_a_view_of():
    x = disttorch.zeros(4, requires_grad=True)
    assert x[:2]._base is x
    assert x[:2].view(2, 1)._base is x
    assert x._base is x.detach()._base is x[:2].detach()._base is None
    detached = x.detach()
    assert detached[:2]._base is detached
