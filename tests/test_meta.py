"""The meta device: shapes without values."""

import copy
import io
import warnings

import pytest

import disttorch
from disttorch import nn

HUGE = 10**6


def test_factories_take_no_memory():
    x = disttorch.empty(HUGE, HUGE, device="meta")
    assert x.shape == (HUGE, HUGE)
    assert x.stride() == (HUGE, 1)
    assert x.is_meta
    assert str(x.device) == "meta"
    assert x.data_ptr() == 0
    assert x.T[5:, None].shape == (HUGE - 5, 1, HUGE)
    for made in (
        disttorch.zeros(3, device="meta"), disttorch.ones(3, device="meta"), disttorch.full((3,), 2.0, device="meta"),
        disttorch.rand(3, device="meta"), disttorch.randn(3, device="meta"),
        disttorch.tensor([1.0, 2, 3], device="meta"),
        disttorch.ones(3).to("meta"), disttorch.empty_like(disttorch.ones(3), device="meta"),
        disttorch.linspace(0, 1, 3, device="meta"), disttorch.zeros_like(disttorch.empty(3, device="meta")),
    ):  # fmt: skip
        assert repr(made) == "tensor(..., device='meta', size=(3,))"
    assert repr(disttorch.arange(3, device="meta")) == "tensor(..., device='meta', size=(3,), dtype=torch.int64)"


def test_drawing_on_meta_leaves_the_generator_alone():
    disttorch.manual_seed(0)
    first = disttorch.rand(3)
    disttorch.manual_seed(0)
    nn.Linear(10, 10, device="meta")
    disttorch.randperm(5, device="meta")
    nn.Dropout()(disttorch.rand(4, device="meta"))
    assert disttorch.equal(disttorch.rand(3), first)


def test_shapes_and_dtypes_of_operations():
    x = disttorch.empty(HUGE, HUGE, device="meta", requires_grad=True)
    y = (x * 2 + x[0]).half()
    assert y.shape == (HUGE, HUGE)
    assert y.dtype is disttorch.float16
    assert y.requires_grad
    assert x.clone().shape == x.shape
    a, b = disttorch.empty(20, 30, device="meta"), disttorch.empty(30, 5, device="meta")
    assert (a @ b).shape == (20, 5)
    assert disttorch.cat([a, a]).shape == (40, 30)
    assert a.sum(1).softmax(0).argmax().dtype is disttorch.int64
    assert (a > 0).dtype is disttorch.bool
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        b @ a
    with pytest.raises(RuntimeError, match="The size of tensor a"):
        a + b
    with pytest.raises(NotImplementedError, match="aten::mm on meta tensors of 2000000000000 elements"):
        x @ x
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        a + disttorch.ones(30)


def test_changes_in_place_do_nothing():
    x = disttorch.empty(HUGE, HUGE, device="meta")
    x.zero_().normal_().uniform_().fill_(3).mul_(2).add_(1)
    x[3] = 2
    x[:, 1] += 1
    x.copy_(disttorch.ones(HUGE))
    nn.init.trunc_normal_(x)
    nn.init.orthogonal_(x)
    with pytest.raises(RuntimeError):
        x.copy_(disttorch.ones(3))
    assert x._version


NEEDING_VALUES = {
    "item": (lambda x: x[0, 0].item(), RuntimeError, "item\\(\\) cannot be called on meta tensors"),
    "bool": (lambda x: bool(x[0, 0]), RuntimeError, "item\\(\\) cannot be called on meta tensors"),
    "float": (lambda x: float(x.sum()), RuntimeError, "item\\(\\) cannot be called on meta tensors"),
    "tolist": (lambda x: x.tolist(), NotImplementedError, "Cannot copy out of meta tensor; no data!"),
    "numpy": (lambda x: x.numpy(), TypeError, "can't convert meta device type tensor to numpy"),
    "cpu": (lambda x: x.cpu(), NotImplementedError, "Cannot copy out of meta tensor; no data!"),
    "copy_": (lambda x: disttorch.ones(2, 3).copy_(x), NotImplementedError, "Cannot copy out of meta tensor; no data!"),
    "nonzero": (lambda x: x.nonzero(), NotImplementedError, "aten::nonzero"),
    "mask": (lambda x: x[x > 0], NotImplementedError, "aten::nonzero"),
    "masked_select": (lambda x: x.masked_select(x > 0), NotImplementedError, "aten::masked_select"),
    "unique": (lambda x: x.unique(), NotImplementedError, "aten::_unique2"),
    "equal": (lambda x: disttorch.equal(x, x), NotImplementedError, "aten::equal"),
    "allclose": (lambda x: disttorch.allclose(x, x), NotImplementedError, "aten::allclose"),
    "bincount": (lambda x: x[0].long().bincount(), NotImplementedError, "aten::bincount"),
    "repeats": (lambda x: x[0].repeat_interleave(x[0].long()), NotImplementedError, "aten::repeat_interleave"),
}


@pytest.mark.parametrize("name", NEEDING_VALUES)
def test_what_needs_values_is_refused(name):
    function, error, words = NEEDING_VALUES[name]
    with pytest.raises(error, match=words):
        function(disttorch.empty(2, 3, device="meta"))


class Positions(nn.Module):
    """A buffer computed in the constructor, as transformers have it."""

    def __init__(self, length=50, width=16):
        super().__init__()
        table = disttorch.zeros(length, width)
        at = disttorch.arange(length).unsqueeze(1)
        rates = disttorch.exp(disttorch.arange(0, width, 2) * (-2.0 / width))
        table[:, 0::2] = disttorch.sin(at * rates)
        table[:, 1::2] = disttorch.cos(at * rates)
        self.register_buffer("table", table)
        self.register_buffer("mask", disttorch.tril(disttorch.ones(length, length)).view(1, 1, length, length))
        self.layer = nn.Linear(width, 4)
        nn.init.kaiming_normal_(self.layer.weight)

    def forward(self, x):
        return self.layer(x + self.table[: x.shape[1]])


def test_a_model_is_described_and_then_filled():
    real = Positions()
    with disttorch.device("meta"):
        model = Positions()
    assert {t.device.type for t in model.state_dict().values()} == {"meta"}
    assert {k: (t.shape, t.dtype) for k, t in model.state_dict().items()} == {
        k: (t.shape, t.dtype) for k, t in real.state_dict().items()
    }
    assert copy.deepcopy(model).layer.weight.is_meta
    assert model(disttorch.empty(2, 50, 16, device="meta")).shape == (2, 50, 4)
    with pytest.raises(NotImplementedError, match=r"use torch\.nn\.Module\.to_empty\(\) instead"):
        model.to("cpu")
    filled = copy.deepcopy(model).to_empty(device="cpu")
    assert filled.layer.weight.requires_grad
    filled.load_state_dict(real.state_dict())
    model.load_state_dict(real.state_dict(), assign=True)
    x = disttorch.rand(2, 50, 16)
    for loaded in (filled, model):
        assert isinstance(loaded.layer.weight, nn.Parameter)
        assert disttorch.equal(loaded(x), real(x))


def test_loading_into_it_warns_and_does_nothing():
    model = nn.Linear(2, 3, bias=False, device="meta")
    with pytest.warns(UserWarning, match="for weight: copying from a non-meta parameter .* which is a no-op"):
        model.load_state_dict(nn.Linear(2, 3, bias=False).state_dict())
    assert model.weight.is_meta
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load_state_dict(nn.Linear(2, 3, bias=False, device="meta").state_dict())


def test_a_backward_pass():
    with disttorch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    model(disttorch.empty(2, 3, 8, 8, device="meta")).sum().backward()
    assert model[0].weight.grad.shape == (8, 3, 3, 3)
    assert model[4].weight.grad.is_meta


def test_files():
    file = io.BytesIO()
    disttorch.save({"w": disttorch.empty(HUGE, HUGE, device="meta")}, file)
    assert len(file.getvalue()) < 2000
    file.seek(0)
    assert disttorch.load(file)["w"].shape == (HUGE, HUGE)
    file = io.BytesIO()
    disttorch.save(disttorch.ones(2, 3), file)
    file.seek(0)
    assert disttorch.load(file, map_location="meta").is_meta


@pytest.mark.oracle
def test_files_are_exchanged_with_pytorch():
    torch = pytest.importorskip("torch")
    for one, other in ((torch, disttorch), (disttorch, torch)):
        file = io.BytesIO()
        one.save({"w": one.empty(4, 5, device="meta").T, "p": one.nn.Linear(2, 3, device="meta").weight}, file)
        file.seek(0)
        found = other.load(file, weights_only=True)
        assert found["w"].stride() == (1, 5)
        assert found["p"].shape == (3, 2)
        assert found["p"].device.type == "meta"
