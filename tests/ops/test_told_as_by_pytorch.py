"""Mistakes of every day, beside PyTorch: the same class of error and the same text."""

import importlib

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

MISTAKES = """
lib.nn.Linear(3, 4)(np.ones((2, 3)))
lib.nn.Linear(3, 4 / 2)
lib.nn.Linear(3.0, 4)
lib.zeros([2, 3.5])
lib.zeros(3, 4, 2.5)
lib.nn.Flatten()(lib.tensor(1.0))
lib.nn.LSTM(3, 4)(lib.ones(2, 5, 3), lib.zeros(1, 5, 4))
lib.nn.LSTM(3, 4)(lib.ones(2, 5, 3), (lib.zeros(1, 5, 4),))
lib.nn.GRU(3, 4)(lib.ones(0, 5, 3))
lib.nn.LSTM(3, 4, batch_first=True)(lib.ones(5, 0, 3))
lib.nn.ConvTranspose2d(3, 4, 3, stride=2)(lib.ones(1, 3, 5, 5), output_size=(20, 20))
lib.nn.utils.rnn.pad_sequence([lib.ones(2, 2), lib.ones(3, 3)])
lib.nn.utils.prune.l1_unstructured(lib.nn.Linear(2, 2), "weight", amount=1.5)
lib.allclose(lib.ones(2), lib.ones(3))
lib.equal(lib.ones(2), 3)
lib.kron(lib.ones(2), 3)
lib.add(np.ones(2), 1)
lib.lerp(lib.ones(2), lib.ones(3), 0.5)
lib.ones(2, 3) @ lib.ones(3, 2, dtype=lib.int64)
lib.ones(2).index_select(0, lib.tensor([0.0]))
lib.ones(2).index_add_(0, lib.tensor([0.0]), lib.ones(1))
lib.ones(2).index_copy_(0, lib.tensor([0.0]), lib.ones(1))
lib.ones(2).index_fill_(0, lib.tensor([0.0]), 1)
lib.ones(2, 2).masked_fill(lib.ones(2, 2), 0)
lib.ones(2).masked_select(lib.ones(2))
lib.einsum("ij", lib.ones(2))
lib.einsum("i", lib.ones(2, 2))
lib.einsum("...ij", lib.ones(2))
lib.einsum(3, lib.ones(2, 2))
lib.tensordot(lib.ones(2, 3), lib.ones(2, 3), dims=1)
lib.tensordot(lib.ones(2, 3), lib.ones(2, 3), dims=([1], [0]))
lib.linalg.lstsq(lib.ones(2, 2), lib.ones(3, 1))
lib.linalg.lstsq(lib.ones(2, 2), lib.ones(3))
lib.cross(lib.ones(3), lib.ones(4))
lib.cartesian_prod(lib.ones(2, 2))
lib.stack(3)
lib.ones(2)["a"]
lib.ones(2)[np.float32(1)]
lib.ones(2, 3)["a", 0]
lib.ones(2, 3)[[0, None], ...]
lib.ones(2, 3)[..., [slice(0, 1)]]
lib.tensor(5)[1:]
lib.tensor(5)[-1]
lib.tensor(5)[3]
lib.ones(2, 3).__setitem__(0, lib.ones(2))
lib.ones(2, 3).__setitem__((slice(None), 0), lib.ones(3))
lib.ones(2, 3).__setitem__((slice(0, 1), slice(0, 2)), lib.ones(3))
lib.ones(2).__setitem__(0, np.array([1.0, 2.0]))
setattr(lib.ones(2), "requires_grad", 1)
lib.linalg.matrix_power(lib.ones(2,3,dtype=lib.int64),2)
lib.linalg.matrix_power(lib.ones(2),2)
lib.clamp(lib.ones(2,3),lib.ones(3,2))
lib.clamp(lib.ones(2,3),max=lib.ones(2))
lib.tensordot(lib.ones(2),lib.ones(2),3)
lib.tensordot(lib.ones(2),lib.ones(2),-1)
lib.polar(lib.ones(2),lib.ones(2).double())
lib.mv(lib.ones(2,2),np.ones(2))
lib.mv(lib.ones(2,2),3)
lib.dot(lib.ones(2),[1,2])
lib.vdot(lib.ones(2),2)
lib.outer(lib.ones(2),2)
lib.inner(lib.ones(2),2)
lib.mm(lib.ones(2,2),2)
lib.bmm(lib.ones(2,2,2),2)
lib.addmm(lib.ones(2,2),2,3)
lib.addmm(lib.ones(2,2),lib.ones(2,2),3)
lib.addmv(lib.ones(2),lib.ones(2,2),3)
lib.addr(lib.ones(2,2),lib.ones(2),3)
lib.baddbmm(lib.ones(2,2,2),lib.ones(2,2,2),3)
lib.addcmul(lib.ones(2),lib.ones(2),'a')
lib.addcdiv(lib.ones(2),'a',lib.ones(2))
lib.cdist(lib.ones(2,2),3)
lib.cross(lib.ones(3),3)
lib.linalg.cross(lib.ones(3),3)
lib.linalg.solve(lib.eye(2),[1,2])
lib.linalg.lstsq(lib.eye(2),[1,2])
lib.linalg.vecdot(lib.ones(2),3)
lib.take(lib.ones(2),[0])
lib.take_along_dim(lib.ones(2),[0])
lib.index_select(lib.ones(2),0,[0])
lib.gather(lib.ones(2),0,[0])
lib.scatter_add(lib.ones(2),0,[0],lib.ones(1))
lib.slice_scatter(lib.ones(2),3)
lib.nn.functional.prelu(lib.ones(2),.2)
lib.nn.functional.cosine_similarity(lib.ones(2),3)
lib.nn.functional.bilinear(lib.ones(2,2),3,lib.ones(2,2,2))
lib.nn.functional.scaled_dot_product_attention(lib.ones(2,2,2),3,lib.ones(2,2,2))
""".strip().splitlines()


def told(code, lib):
    importlib.import_module(f"{lib.__package__}.nn.utils.prune")
    try:
        eval(code, {"lib": lib, "np": np})
    except Exception as error:
        return type(error), str(error).replace("disttorch", "torch")
    return None


@pytest.mark.parametrize("code", MISTAKES)
def test_mistakes(code):
    wanted = told(code, torch)
    assert wanted is not None
    assert told(code, disttorch) == wanted


TAKEN = """
lib.linalg.pinv(lib.eye(2),1e-3)
lib.linalg.pinv(lib.diag(lib.tensor([1.,1e-3])),.1)
lib.linalg.pinv(lib.diag(lib.tensor([1.,1e-3])),rcond=.1)
lib.linalg.pinv(lib.diag(lib.tensor([1.,1e-3])),.1,True)
lib.linalg.matrix_rank(lib.diag(lib.tensor([1.,1e-3])),.1)
lib.linalg.matrix_rank(lib.diag(lib.tensor([1.,1e-3])),.1,True)
lib.linalg.matrix_rank(lib.diag(lib.tensor([1.,1e-3])),tol=.1)
lib.linalg.matrix_power(lib.tensor([[1,1],[1,0]]),5)
lib.linalg.matrix_power(lib.tensor([[1,1],[1,0]]),0)
lib.matrix_power(lib.tensor([[1,1],[1,0]]),3)
lib.tensordot(lib.ones(2),lib.ones(2),1)
lib.roll(lib.arange(3),lib.tensor(1))
lib.roll(lib.arange(3),lib.tensor(1),0)
lib.split(lib.arange(3),lib.tensor(2))
lib.nn.functional.leaky_relu(-lib.ones(2),lib.tensor(.5))
lib.addmm(lib.ones(2,2),lib.ones(2,2),lib.ones(2,2),beta=2,alpha=3)
""".strip().splitlines()


@pytest.mark.parametrize("code", TAKEN)
def test_what_is_taken(code):
    """Numbers in tensors where numbers are meant, tolerances by place, powers of integers."""
    ours, theirs = (eval(code, {"lib": lib}) for lib in (disttorch, torch))
    for mine, wanted in zip(*((r if isinstance(r, tuple) else (r,)) for r in (ours, theirs)), strict=True):
        torch.testing.assert_close(torch.tensor(mine.tolist(), dtype=wanted.dtype), wanted)


@pytest.mark.parametrize("shape", [(2, 2), (3, 2, 2)])
def test_a_singular_system(shape):
    texts = []
    for lib in (disttorch, torch):
        with pytest.raises(lib.linalg.LinAlgError) as caught:
            lib.linalg.solve(lib.zeros(shape), lib.ones((*shape[:-1], 1)))
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "code",
    [
        "lib.nn.functional.conv2d(lib.ones(1, 1, 3, 3), np.ones((1, 1, 2, 2)))",
        "lib.nn.functional.max_pool2d(lib.ones(1, 1, 3, 3), 'a')",
        "lib.topk(lib.ones(3), 'a')",
    ],
)
def test_kinds_that_do_not_fit(code):
    """Other words, but the same class of error."""
    for lib in (disttorch, torch):
        with pytest.raises(TypeError):
            eval(code, {"lib": lib, "np": np})


def test_too_many_numbers():
    for lib in (disttorch, torch):
        with pytest.raises(TypeError, match="arange"):
            lib.arange(1, 2, 3, 4)
        with pytest.raises(TypeError):
            lib.ones(2).to(dtype=3)


def broken_functions(lib):
    class Wide(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return lib.ones(7)

    class Keeps(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x * 2

    class Changes(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

        @staticmethod
        def backward(ctx, g):
            return g

    return Wide, Keeps, Changes


@pytest.mark.parametrize("which", range(3))
def test_broken_functions(which):
    found = []
    for lib in (disttorch, torch):
        x = lib.ones(3, requires_grad=True)
        with pytest.raises((RuntimeError, TypeError)) as caught:
            broken_functions(lib)[which].apply(x).sum().backward()
        assert x.is_leaf
        found.append((caught.type, str(caught.value)))
    assert found[0] == found[1]


def test_a_gradient_that_is_summed_over_what_was_broadcast():
    class Wide(disttorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * disttorch.ones(4, 3)

        @staticmethod
        def backward(ctx, g):
            return g

    x = disttorch.ones(3, requires_grad=True)
    Wide.apply(x).sum().backward()
    assert x.grad.tolist() == [4, 4, 4]


def test_how_recording_is_shown():
    for lib in (disttorch, torch):
        assert repr(lib.set_grad_enabled(True)) == "torch.autograd.grad_mode.set_grad_enabled(mode=True)"
