"""Checkpoints exchanged with PyTorch, both ways."""

import io
from collections import OrderedDict

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
pytest.importorskip("torch._dynamo")  # its optimizers import it, which sets environment variables

DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128".split()


def moved(value, source, target):
    """Saved by one library and loaded by the other."""
    file = io.BytesIO()
    source.save(value, file)
    file.seek(0)
    settings = {"weights_only": True} if target is torch else {}
    return target.load(file, **settings)


def array(t):
    wide = "float32" if "bfloat16" in str(t.dtype) else None
    t = t.detach()
    return (t.float() if wide else t).numpy()


BOTH = pytest.mark.parametrize(
    ("source", "target"), [(torch, disttorch), (disttorch, torch)], ids=["from torch", "to torch"]
)


@BOTH
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (3, 0, 2)])
def test_dtypes(source, target, name, shape):
    t = (source.arange(int(np.prod(shape))).reshape(shape) % 2).to(getattr(source, name))
    back = moved(t, source, target)
    assert back.dtype is getattr(target, name)
    np.testing.assert_array_equal(array(back), array(t))


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.t(), lambda t: t[:, 1:], lambda t: t[::2], lambda t: t.unsqueeze(1).expand(4, 5, 6), lambda t: t[1],
        lambda t: t.view(2, 2, 6).permute(2, 0, 1), lambda t: t[:0],
    ],
)  # fmt: skip
def test_layouts(source, target, change):
    t = change(source.arange(24.0).reshape(4, 6))
    back = moved(t, source, target)
    assert back.stride() == t.stride()
    np.testing.assert_array_equal(array(back), array(t))


@BOTH
def test_channels_last(source, target):
    t = source.randn(2, 3, 4, 5).contiguous(memory_format=source.channels_last)
    back = moved([t, t[:, 1]], source, target)
    assert back[0].stride() == t.stride()
    np.testing.assert_array_equal(array(back[0]), array(t))
    back[0].zero_()
    assert not back[1].any()


@BOTH
def test_containers_and_sharing(source, target):
    t = source.arange(6.0)
    value = {
        "views": [t, t[2:], t.view(2, 3)],
        "parameter": source.nn.Parameter(source.ones(2)),
        "leaf": source.ones(1, requires_grad=True),
        "ordered": OrderedDict(b=1, a=(True, None, 2.5, "ä", b"\x00\xff")),
        "size": source.Size([2, 3]),
        "dtype": source.bfloat16,
        "device": source.device("cpu"),
        "set": {1, 2},
        "big": 2**70,
        "negative": -1,
    }
    back = moved(value, source, target)
    back["views"][0][2] = 42
    assert back["views"][1][0] == 42
    assert back["views"][2][0, 2] == 42
    assert isinstance(back["parameter"], target.nn.Parameter)
    assert back["leaf"].requires_grad
    assert back["ordered"] == value["ordered"]
    assert (back["dtype"], back["device"], back["set"], back["big"], back["negative"]) == (
        target.bfloat16,
        target.device("cpu"),
        {1, 2},
        2**70,
        -1,
    )
    assert tuple(back["size"]) == (2, 3)


def network(lib):
    lib.manual_seed(0)
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.LayerNorm(8),
        nn.Linear(8, 2),
    )


@BOTH
@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_training_goes_on_in_the_other_library(source, target, kind):
    settings = {"lr": 0.01, "momentum": 0.9} if kind in ("SGD", "RMSprop") else {"lr": 0.01}
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(4, 5, 1, 4, 4)).astype("f4")

    def step(lib, model, optimizer, x):
        optimizer.zero_grad()
        loss = model(lib.from_numpy(x.copy())).pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    model = network(source)
    optimizer = getattr(source.optim, kind)(model.parameters(), **settings)
    for x in xs[:2]:
        step(source, model, optimizer, x)
    back = moved({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, source, target)
    other = network(target)
    other.load_state_dict(back["model"])
    again = getattr(target.optim, kind)(other.parameters(), **settings)
    again.load_state_dict(back["optimizer"])
    for x in xs[2:]:
        np.testing.assert_allclose(step(source, model, optimizer, x), step(target, other, again, x), rtol=2e-5)


def test_a_file_that_torch_refuses_we_refuse_too():
    file = io.BytesIO()
    torch.save(network(torch), file)
    file.seek(0)
    import pickle

    with pytest.raises(pickle.UnpicklingError, match=r"torch\.nn\.modules\.container\.Sequential"):
        disttorch.load(file)


def test_the_generator_state_of_torch():
    torch.manual_seed(5)
    back = moved(torch.get_rng_state(), torch, disttorch)
    disttorch.set_rng_state(back)
    assert disttorch.rand(3).tolist() == torch.rand(3).tolist()
