"""Which dtype each function has inside autocast("cpu"), beside PyTorch."""

import pytest

import disttorch
import disttorch.amp

torch = pytest.importorskip("torch")
torch.optim.SGD([torch.zeros(1)])  # loads now what PyTorch loads at first use
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

CALLS = [
    "torch.mm(x, x)", "torch.bmm(x[None], x[None])", "torch.mv(x, v)", "x @ v", "x @ x", "torch.addmm(x, x, x)",
    "torch.addbmm(x, x[None], x[None])", "torch.baddbmm(x[None], x[None], x[None])", "torch.addmv(v, x, v)",
    "torch.einsum('ij,jk->ik', x, x)", "torch.outer(v, v)", "torch.dot(v, v)", "F.linear(x, x)",
    "F.conv1d(x[None], x[None])", "F.conv2d(x[None, None], x[None, None])", "F.prelu(x, v)",
    "F.conv_transpose2d(x[None, None], x[None, None])", "F.scaled_dot_product_attention(x[None], x[None], x[None])",
    "x.exp()", "x.log()", "x ** 3", "x.prod()", "x.cumsum(0)", "x.sum()", "x.norm()", "x.mean()", "x.std()",
    "x.softmax(0)", "x.log_softmax(0)", "x.logsumexp(0)", "F.softplus(x)", "F.gelu(x)", "F.cross_entropy(x, t)",
    "F.nll_loss(x, t)", "F.mse_loss(x, x)", "F.l1_loss(x, x)", "F.smooth_l1_loss(x, x)", "F.kl_div(x, x)",
    "F.huber_loss(x, x)", "F.binary_cross_entropy_with_logits(x, x)", "F.layer_norm(x, (4,))", "F.group_norm(x, 2)",
    "F.batch_norm(x, None, None, training=True)", "F.cosine_similarity(x, x)", "torch.cdist(x, x)", "torch.dist(x, x)",
    "F.hinge_embedding_loss(x, x)", "F.margin_ranking_loss(x, x, x)", "F.triplet_margin_loss(x, x, x)",
    "F.poisson_nll_loss(x, x)", "torch.cat([x, x.float()])", "torch.stack([x, x.float()])", "torch.trace(x)",
    "F.avg_pool3d(x[None, None, None], (1, 2, 2))", "nn.MultiheadAttention(4, 2)(*[x[None].float()] * 3)[0]",
    "nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Softmax(-1))(x.float())", "nn.GRU(4, 4)(x.float())[0]",
]  # fmt: skip


@pytest.mark.parametrize("code", CALLS)
def test_dtypes(code):
    found = []
    for lib in (disttorch, torch):
        x, v, t = lib.rand(4, 4) + 0.1, lib.rand(4), lib.tensor([0, 1, 2, 3])
        for half in (False, True):
            names = {"torch": lib, "nn": lib.nn, "F": lib.nn.functional, "t": t}
            names |= {"x": x.bfloat16(), "v": v.bfloat16()} if half else {"x": x, "v": v}
            with lib.autocast("cpu", dtype=lib.bfloat16):
                found.append(str(eval(code, names).dtype))
    assert found[:2] == found[2:]


def test_a_training_step():
    ends = []
    for lib in (disttorch, torch):
        lib.manual_seed(0)
        model = lib.nn.Sequential(lib.nn.Linear(8, 16), lib.nn.ReLU(), lib.nn.Linear(16, 3))
        optimizer = lib.optim.SGD(model.parameters(), lr=0.1)
        x, y = lib.randn(32, 8), lib.randint(0, 3, (32,))
        losses = []
        for _ in range(5):
            with lib.autocast("cpu"):
                loss = lib.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert model[0].weight.grad.dtype is lib.float32
        ends.append(losses)
    assert ends[0] == pytest.approx(ends[1], rel=2e-3)
