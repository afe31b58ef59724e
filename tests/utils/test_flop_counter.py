"""Floating point operations: what each product takes, and whose module it is."""

import pytest

import disttorch
from disttorch import nn
from disttorch.utils.flop_counter import FlopCounterMode


def count(body) -> dict:
    with FlopCounterMode(display=False) as counter:
        body()
    return counter.get_flop_counts()


def test_forward_and_backward_by_module():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    found = count(lambda: net(disttorch.randn(2, 3, 16, 16)).sum().backward())
    conv, linear = 2 * 2 * 8 * 3 * 9 * 64, 2 * 2 * 512 * 10
    assert found["Sequential.0"] == {"aten.convolution": conv, "aten.convolution_backward": conv}  # weights alone
    assert found["Sequential.3"] == {"aten.addmm": linear, "aten.mm": 2 * linear}
    assert found["Global"] == found["Sequential"] == found["Sequential.0"] | found["Sequential.3"]
    assert set(found) == {"Global", "Sequential", "Sequential.0", "Sequential.3"}


def test_products_and_gradients_of_gradients():
    a, b = disttorch.randn(3, 4, 5, requires_grad=True), disttorch.randn(3, 5, 6)
    assert count(lambda: (a @ b).sum().backward()) == {"Global": {"aten.bmm": 2 * (2 * 3 * 4 * 5 * 6)}}

    x, w = disttorch.randn(4, 6, requires_grad=True), disttorch.randn(6, 3)

    def twice():
        (g,) = disttorch.autograd.grad((x @ w).pow(2).sum(), x, create_graph=True)
        g.sum().backward()

    assert count(twice)["Global"]["aten.mm"] == 4 * (2 * 4 * 6 * 3)


def test_nothing_is_counted_outside(capsys):
    net = nn.Linear(4, 2)
    with FlopCounterMode() as counter:
        net(disttorch.ones(1, 4))
    net(disttorch.ones(1, 4))
    assert counter.get_total_flops() == 16
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == ["Module", "Global", "-", "Linear", "-"]
    assert table[1].split() == ["Global", "16", "100.00%"]
    with pytest.raises(NotImplementedError, match="custom_mapping"):
        FlopCounterMode(custom_mapping={1: 2})


@pytest.mark.oracle
def test_as_pytorch_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # which it would set itself
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torch.utils.flop_counter")
    totals = []
    for library, mode in ((torch, theirs.FlopCounterMode), (disttorch, FlopCounterMode)):
        m = library.nn
        net = m.Sequential(m.ConvTranspose2d(3, 4, 2, stride=2), m.Conv2d(4, 4, 3), m.Flatten(), m.Linear(144, 3))
        with mode(display=False) as counter:
            net(library.randn(2, 3, 4, 4, requires_grad=True)).sum().backward()
        totals.append(counter.get_total_flops())
    assert totals[0] == totals[1]
