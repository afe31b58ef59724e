"""Names of nodes, and errors of changes in place, as PyTorch words them."""

import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

NODES = [
    "2 - x", "x - 2", "torch.rsub(x, 1)", "x + 1", "-x", "x * x", "x / x", "x ** 2", "x % 2", "x @ x", "x.sum()",
    "x.mean()", "x[0]", "x[1:]", "x[None]", "x[..., 0]", "m[:, 0]", "m[0, 1:]", "m[1:, 0]", "m[:, None]", "x[[0, 1]]",
    "x.view(3, 1)", "m.T", "x.exp()", "torch.cat([x, x])", "torch.stack([x, x])", "x.max()", "x.max(0)[0]",
    "m.min(1)[0]",
    "x.sort()[0]", "x.topk(2)[0]", "x.unbind()[0]", "x.split(2)[0]", "x.chunk(2)[1]", "x.clone()", "x.double()",
    "x.softmax(0)", "F.mse_loss(x, x)", "F.cross_entropy(x, torch.tensor(0))", "F.gelu(x)", "F.layer_norm(x, (3,))",
    "x.expand(2, 3)", "torch.where(x > 0, x, x)", "x.clamp(0, 1)", "x.norm()", "x.std()", "F.relu(x)",
    "x.median()", "m.median(0)[0]",
]  # fmt: skip


@pytest.mark.parametrize("code", NODES)
def test_names_of_nodes(code):
    found = []
    for lib in (disttorch, torch):
        x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        names = {"torch": lib, "F": lib.nn.functional, "x": x, "m": lib.ones(2, 3, requires_grad=True)}
        found.append(repr(eval(code, names)).rpartition("grad_fn=")[2])
    assert found[0] == found[1]


LEAF = "x = torch.ones(3, requires_grad=True)\n"
INNER = "x = torch.ones(3, requires_grad=True) * 1\n"
WRONG = [
    LEAF + "x[0] = 5",
    LEAF + "x += 1",
    LEAF + "x.view(3, 1).add_(1)",
    LEAF + "x[0:2].zero_()",
    LEAF + "x[[0, 1]] = 2.0",
    LEAF + "x[x > 0] = 2.0",
    LEAF + "x.fill_(1)",
    LEAF + "x.unbind()[0].add_(1)",
    INNER + "x.unbind()[0].add_(1)",
    INNER + "x.split(2)[0].add_(1)",
    INNER + "x.chunk(2)[0].mul_(2)",
    LEAF + "with torch.no_grad():\n    v = x[0:2]\nv.mul_(2)",
    INNER + "with torch.no_grad():\n    v = x[0:2]\nv.zero_()",
    "x = torch.ones(3).expand(2, 3)\nx += 1",
    "a = torch.ones(2, requires_grad=True)\nb = a.exp()\nb += 1\nb.sum().backward()",
    "a = torch.ones(2, requires_grad=True).clamp(0, 1)\nb = a * a\na += 1\nb.sum().backward()",
    LEAF + "x.resize_(4)",
    LEAF + "x.numpy()",
    "torch.complex(torch.tensor([1]), torch.tensor([1]))",
    "torch.complex(torch.tensor([1.0]), torch.tensor([1]))",
    "torch.polar(torch.tensor([1]), torch.tensor([1]))",
]


@pytest.mark.parametrize("code", WRONG)
def test_changes_that_are_refused(code):
    said = []
    for lib in (disttorch, torch):
        with pytest.raises((RuntimeError, TypeError)) as caught:
            exec(code, {"torch": lib})
        said.append((caught.type, str(caught.value)))
    assert said[0] == said[1]


ALLOWED = [
    "x = torch.ones(3)\nx.unbind()[0].mul_(2)\nout = x",
    "x = torch.ones(3, requires_grad=True)\nwith torch.no_grad():\n    x.split(2)[0].mul_(2)\n    x[0] += 1\nout = x",
    "x = torch.ones(3)\nx[0] += 1\nx[1:] *= 2\nout = x",
    "x = torch.ones(3, requires_grad=True) * 1\nx[0] += 1\nx[1:] *= 2\nout = x",
    "x = torch.ones(3, requires_grad=True)\nx.data[0] = 7\nout = x",
    "x = torch.ones(3, requires_grad=True)\nx.detach()[0] = 7\nout = x",
]


@pytest.mark.parametrize("code", ALLOWED)
def test_changes_that_are_allowed(code):
    ends = []
    for lib in (disttorch, torch):
        scope = {"torch": lib}
        exec(code, scope)
        ends.append(scope["out"].tolist())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3), (1, 0, 2)])
def test_strides_of_nothing(shape):
    assert disttorch.empty(shape).stride() == torch.empty(shape).stride()
