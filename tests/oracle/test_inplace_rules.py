"""What may be changed in place, and what autograd says where it may not, beside PyTorch's."""

import pytest

pytest.importorskip("torch")
from oracle.statements import assert_same

pytestmark = pytest.mark.oracle

ON_LEAVES = [
    "w.add_(1)", "w[0] = 1", "w[:] = 1", "w[...] = 1", "w[0].add_(1)", "w[w > 0] = 2", "w.view(-1).mul_(2)",
    "w.fill_(1)", "w.copy_(T.ones(3))", "w.normal_()", "F.relu(w, inplace=True)", "w.unsqueeze_(0)", "w.t_()",
    "w.squeeze_()", "w.set_(T.ones(3))", "w.index_fill_(0, T.tensor([0]), 1)", "w.masked_fill_(w > 0, 1)",
    "w.detach_()", "w[:2].detach_()", "w.data.add_(1)", "w.detach().mul_(2)",
]  # fmt: skip


@pytest.mark.parametrize("statement", ON_LEAVES)
def test_leaves(statement):
    assert_same(f"w = T.ones(3, requires_grad=True)\n{statement}\nw\nwith T.no_grad(): {statement}\nw.detach()")


SPLITS = ["split(2, 1)", "split([2, 2], 1)", "chunk(2, 1)", "unbind(0)", "tensor_split(2, 1)", "hsplit(2)"]


@pytest.mark.parametrize("call", SPLITS)
def test_pieces(call):
    assert_same(f"x = T.ones(2, 4, requires_grad=True) * 1\na, b = x.{call}\na\nT.sum(a + b)")
    assert_same(f"x = T.ones(2, 4)\na, b = x.{call}\na.add_(1)\nx")
    if call not in ("tensor_split(2, 1)", "hsplit(2)"):
        assert_same(f"x = T.ones(2, 4, requires_grad=True) * 1\na, b = x.{call}\na.add_(1)")
    assert_same(f"x = T.ones(2, 4, requires_grad=True) * 1\nwith T.no_grad(): a, b = x.{call}\na.add_(1)\nx")


def test_pieces_that_are_slices_can_be_changed():
    for call in ("tensor_split(2, 1)", "hsplit(2)"):
        assert_same(
            f"x = T.ones(2, 4, requires_grad=True)\ny = x * 1\na, b = y.{call}\n_ = a.mul_(3)\ny.detach()\n"
            "y.sum().backward()\nx.grad"
        )
