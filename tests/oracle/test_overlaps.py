"""In-place operations and `out=` whose operands share memory, beside PyTorch's."""

import pytest

pytest.importorskip("torch")
from oracle.statements import assert_same

pytestmark = pytest.mark.oracle

SHIFTED = [
    "x[1:] += x[:-1]", "x[1:].copy_(x[:-1])", "x[1:] = x[:-1]", "x[1:].mul_(x[:-1])", "x.add_(x[0])", "x /= x[0]",
    "x.sub_(x[:1])", "x.copy_(x[0])", "x[1:].eq_(x[:-1])", "x[1:].atan2_(x[:-1])", "x[1:].lerp_(x[:-1], 0.3)",
    "x[1:].addcmul_(x[:-1], x[:-1])", "x[1:].addcdiv_(x[:-1], x[:-1])", "x[1:].clamp_(x[:-1])", "x[1:].fmod_(x[:-1])",
    "x[1:].logical_and_(x[:-1])", "x[1:].index_add_(0, T.arange(4), x[:-1])", "x[1:].scatter_(0, T.arange(4), x[:-1])",
    "x[1:].put_(T.arange(4), x[:-1])", "x[T.arange(4)] = x[1:]", "x.index_copy_(0, T.arange(5), x)",
    "x.scatter_(0, T.arange(5), x)", "x[x > 2] = x[x > 2]", "x.add_(x)", "x[:] = x",
    "x[:3].add_(x[:3])", "x.add_(x.detach())", "x.mul_(x.data)", "x.view(5).add_(x.view(5))", "x[0] = x[1]",
    "x[:2].add_(x[2:4])", "T.add(x[1:], x[:-1], out=x[1:])", "T.exp(x[:3], out=x[1:4])", "T.add(x, 1, out=x)",
    "T.where(x[:3] > 0, x[:3], x[2:], out=x[1:4])", "T.clamp(x[:3], 0, 1, out=x[1:4])", "T.exp(x, out=x)",
    "T.lerp(x[:3], x[:3], 0.5, out=x[1:4])", "T.index_select(x, 0, T.tensor([0, 1]), out=x[2:4])",
    "T.stack([x[0], x[1]], out=x[:2])", "T.topk(x, 2, out=(x[:2], T.empty(2).long()))",
]  # fmt: skip


@pytest.mark.parametrize("statement", SHIFTED)
def test_parts_of_one_tensor(statement):
    assert_same(f"x = T.arange(1., 6)\n{statement}\nx")


TURNED = [
    "x.t().copy_(x)", "x.add_(x.t())", "x.t().mul_(x)", "T.exp(x.t(), out=x)", "x[:, :2] = x[:, 2:]",
    "x -= x[0]", "x[:2].copy_(x[1:])", "x.t()[:2].copy_(x.t()[2:])", "x[:2] += x[:1]",
    "x.addmv_(x, x[0])", "x.addr_(x[0], x[1])", "x[0].addmv_(x, T.ones(4))",
]  # fmt: skip


@pytest.mark.parametrize("statement", TURNED)
def test_matrices(statement):
    assert_same(f"x = T.arange(16.).reshape(4, 4)\n{statement}\nx")


def test_indices_that_are_written():
    for change in (
        "y.index_copy_(0, y, T.ones(4).long())",
        "y.index_fill_(0, y, 2)",
        "y[y] = 2",
        "y.scatter_(0, y, 2)",
    ):
        assert_same(f"y = T.arange(4)\n{change}\ny")
    assert_same("z = T.ones(4).bool()\nz[1:].masked_fill_(z[:3], False)\nz.masked_fill_(z, False)\nz[z] = True\nz")


EXPANDED = [
    "y.add_(1)", "y.mul_(2)", "y.copy_(T.ones(3, 3))", "y[:] = 3.", "y[0] = 5", "y[0].add_(1)", "y[0, 0] = 3.",
    "y.fill_(2)", "y.zero_()", "y.clamp_(0, 1)", "y.relu_()", "y.exp_()", "y.normal_()", "y.cumsum_(0)", "y += 1",
    "y[:, 0] = T.tensor([1., 2, 3])", "y[T.tensor([0, 1])] = 1.", "y.detach().add_(1)", "y.data.add_(1)", "y.t_()",
    "y.data[0] = 7", "y.clone().add_(1)", "y.data.fill_(3)", "nn.init.ones_(y)", "y.scatter_(0, T.tensor([[0]]), 1.)",
    "y.index_add_(0, T.tensor([0]), T.ones(1, 3))", "T.add(T.ones(3, 3), 1, out=y)", "F.relu(y, inplace=True)",
]  # fmt: skip


@pytest.mark.parametrize("statement", EXPANDED)
@pytest.mark.parametrize("mode", ["enable_grad", "no_grad"])
def test_expanded(statement, mode):
    before = f"x = T.arange(3.)\ny = x.expand(3, 3)\nmode = T.{mode}()\nmode.__enter__()"
    assert_same(f"{before}\n{statement}\nx\nmode.__exit__(None, None, None)")


def test_sizes_of_sums_with_products():
    for call in (
        "addmv(T.ones(2, 2), T.ones(2, 2), T.ones(2))", "addmv(T.ones(2), T.ones(2), T.ones(2))",
        "addmv(T.ones(3), T.ones(2, 2), T.ones(2))", "addmv(T.ones(1), T.ones(2, 2), T.ones(2))",
        "addr(T.ones(3), T.ones(2), T.ones(2))", "baddbmm(T.ones(3), T.ones(2, 2, 2), T.ones(2, 2, 2))",
    ):  # fmt: skip
        assert_same(f"T.{call}")
