"""Classes that a program calls safe are read from files; others never."""

import io
import os
import pickle

import pytest

import disttorch as torch
from disttorch import nn
from disttorch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 3)
        self.out = nn.Sequential(nn.Linear(3, 2), nn.ReLU())

    def forward(self, x):
        return self.out(self.words(x))


class Slotted:
    __slots__ = ("x",)


PARTS = [Net, nn.Embedding, nn.Sequential, nn.Linear, nn.ReLU]


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    clear_safe_globals()


def written(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return file


def test_a_whole_model():
    model, x = Net(), torch.tensor([1, 4])
    file = written(model)
    with safe_globals(PARTS):
        loaded = torch.load(file)
    assert torch.equal(loaded(x), model(x))
    assert get_safe_globals() == []
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=r"holds .*Net.*safe_globals"):
        torch.load(file)


def test_each_class_must_be_named():
    add_safe_globals(PARTS[:-1])
    with pytest.raises(pickle.UnpicklingError, match=r"ReLU"):
        torch.load(written(Net()))
    add_safe_globals([nn.ReLU])
    assert isinstance(torch.load(written(Net())), Net)
    assert get_safe_globals() == PARTS


def test_pytorchs_names_are_ours():
    import disttorch.nn.modules.sparse  # noqa: F401

    pickled = b"ctorch.nn.modules.sparse\nEmbedding\n."
    from disttorch.serialization.reader import Machine, Refused
    from disttorch.serialization.rebuild import find

    with pytest.raises(Refused, match=r"torch\.nn\.modules\.sparse\.Embedding"):
        Machine(pickled, find, None).run()
    with safe_globals([nn.Embedding]):
        assert Machine(pickled, find, None).run() is nn.Embedding


def test_other_names_and_states():
    thing = Slotted()
    thing.x = 3
    with safe_globals([Slotted]):
        assert torch.load(written(thing)).x == 3
    with safe_globals([(Slotted, "elsewhere.Thing")]), pytest.raises(pickle.UnpicklingError, match="Slotted"):
        torch.load(written(thing))


def test_a_safe_class_makes_nothing_else_safe():
    class Shell:
        def __reduce__(self):
            return os.system, ("true",)

    with safe_globals(PARTS), pytest.raises(pickle.UnpicklingError, match="system"):
        torch.load(written([Net(), Shell()]))


def test_what_is_no_class_is_refused():
    with pytest.raises(TypeError, match="Expected a callable"):
        add_safe_globals(["Net"])
