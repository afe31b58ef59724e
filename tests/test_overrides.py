"""Classes and modes that take functions over: `__torch_function__`."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import ClassVar
from unittest.mock import ANY

import pytest

import disttorch
from disttorch import _C, Tensor, fft, functional, linalg, nn, overrides, special
from disttorch.autograd import gradients
from disttorch.nn import functional as F

CHANGED = (disttorch, functional, F, nn.init, linalg, fft, special, nn.modules.rnn, Tensor, gradients)


@pytest.fixture(autouse=True)
def own_dispatch() -> Iterator[None]:
    """What a first subclass changes is changed back after each test."""
    before = [dict(vars(place)) for place in CHANGED]
    yield
    for place, names in zip(CHANGED, before, strict=True):
        for name, value in names.items():
            if vars(place)[name] is not value:
                setattr(place, name, value)
    overrides.install.cache_clear()
    overrides.get_default_nowrap_functions.cache_clear()


def tagged_class():
    """A class of tensors that bear a tag, which results take from the first argument that has one."""

    class Tagged(Tensor):
        tag = None
        told: ClassVar[list] = []

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.told.append((func, types, args))
            result = super().__torch_function__(func, types, args, kwargs)
            if isinstance(result, Tagged):
                result.tag = next((a.tag for a in args if isinstance(a, Tagged)), None)
            return result

    return Tagged


def test_results_have_the_class_of_the_arguments():
    class Mine(Tensor):
        pass

    x = disttorch.arange(6.0).view(2, 3).as_subclass(Mine)
    plain = disttorch.ones(2, 3)
    for made in (
        x + 1, 1 - x, plain * x, x @ x.T, -x, x[0], x.sum(), x.view(6), x.double(), x.clone(), x.data, x > 1,
        disttorch.relu(x), F.relu(x), disttorch.stack([plain, x]), disttorch.cat((x, x)), linalg.norm(x),
        disttorch.zeros_like(x), x.add_(1), nn.Linear(3, 4)(x), nn.ReLU()(x), nn.Dropout(0.5)(x), fft.fft(x),
        x.max(0).indices, x.split(1)[1], x.unbind()[0], disttorch.as_tensor(x),
    ):  # fmt: skip
        assert type(made) is Mine
    for made in (plain.add_(x), disttorch.where(x > 0, x, plain)):
        assert type(made) is Mine
    assert type(plain) is Tensor
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        assert type(disttorch.tensor(x)) is Tensor
    assert type(x.as_subclass(Tensor)) is Tensor
    assert type(x.max(0)).__name__ == "max"
    assert x.shape == (2, 3)
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_class_learns_of_each_call_once():
    Tagged = tagged_class()
    x = disttorch.ones(2, 2).as_subclass(Tagged)
    x.tag = "pixels"
    assert not Tagged.told
    for call, name, shown in (
        (lambda: x + 1, "add", Tensor.add),
        (lambda: 2 * x, "mul", Tensor.mul),
        (lambda: 2 - x, "__rsub__", Tensor.__rsub__),
        (lambda: x / 2, "div", Tensor.div),
        (lambda: x[0], "__getitem__", Tensor.__getitem__),
        (lambda: x.relu(), "relu", Tensor.relu),
        (lambda: disttorch.relu(x), "relu", disttorch.relu),
        (lambda: F.softmax(x, -1), "softmax", F.softmax),
        (lambda: nn.functional.layer_norm(x, (2,)), "layer_norm", F.layer_norm),
        (lambda: x.float(), "float", Tensor.float),
        (lambda: disttorch.einsum("ij->i", x), "einsum", disttorch.einsum),
        (lambda: x.T, "__get__", Tensor.T.__get__),
        (lambda: x.__iadd__(1), "add_", Tensor.add_),
    ):
        Tagged.told.clear()
        made = call()
        assert [(func.__name__, types) for func, types, _ in Tagged.told] == [(name, (Tagged,))]
        assert Tagged.told[0][0] == shown
        assert made.tag == "pixels"


def test_gradients_pass_and_backward_is_not_handed_over():
    Tagged = tagged_class()
    leaf = disttorch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = leaf.as_subclass(Tagged)
    assert x.grad_fn.name() == "AliasBackward0"
    own = disttorch.ones(3).as_subclass(Tagged).requires_grad_()
    with _C.DisableTorchFunctionSubclass():
        loss = (x * x * own).exp().sum()
    assert type(loss) is Tensor
    Tagged.told.clear()
    loss.backward()
    assert Tagged.told == []
    expected = disttorch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (expected * expected).exp().sum().backward()
    assert leaf.grad.tolist() == expected.grad.tolist()
    assert disttorch.autograd.grad((own * 2).sum(), own)[0].tolist() == [2, 2, 2]


def test_a_class_may_decline():
    class Closed(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    class Base(Tensor):
        pass

    class Derived(Base):
        pass

    class Stranger(Tensor):
        pass

    def of(kind):
        return disttorch.ones(1).as_subclass(kind)

    with pytest.raises(TypeError, match=r"no implementation found for '.*add' on types that implement .*Closed"):
        of(Closed) + 1
    with pytest.raises(
        TypeError, match=r"no implementation found for 'torch.__get__' on types that implement .*Closed"
    ):
        _ = of(Closed).shape
    assert type(of(Base) + of(Derived)) is Derived
    with pytest.raises(TypeError, match=r"no implementation found .*Base.*Stranger"):
        of(Base) + of(Stranger)


def test_a_class_that_is_no_tensor():
    overrides.install()

    class Length:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, types, len(args), kwargs

    assert disttorch.add(Length(), 1) == ("add", (Length,), 2, {})
    assert disttorch.ones(2) * Length() == ("mul", (Length,), 2, {})
    assert disttorch.stack([Length()], dim=1) == ("stack", (Length,), 1, {"dim": 1})
    assert disttorch.mean(input=Length()) == ("mean", (Length,), 0, {"input": ANY})


def test_a_mode_takes_every_call_over():
    told = []

    class Mode(overrides.TorchFunctionMode):
        def __init__(self, name):
            self.name = name

        def __torch_function__(self, func, types, args=(), kwargs=None):
            told.append((self.name, func.__name__))
            return func(*args, **(kwargs or {}))

    with Mode("outer"), Mode("inner"):
        x = disttorch.ones(2) + 1
        nn.init.zeros_(x)
        F.cross_entropy(disttorch.tensor([[1.0, 2.0]]), disttorch.tensor([1]))
    names = ["ones", "add", "zeros_", "tensor", "tensor", "cross_entropy"]
    assert told == [(mode, name) for name in names for mode in ("inner", "outer")]
    told.clear()
    with pytest.raises(ValueError, match="stop"), Mode("left"):
        raise ValueError("stop")
    assert (disttorch.ones(2) + 1).tolist() == [2, 2]
    assert told == []
    with pytest.raises(NotImplementedError), overrides.TorchFunctionMode():
        disttorch.ones(1)


def test_functions_of_ones_own_are_handed_over():
    Tagged = tagged_class()

    @overrides.wrap_torch_function(lambda x, y: (x, y))
    def blend(x, y):
        return x * 0.5 + y * 0.5

    def scaled(x, factor):
        if overrides.has_torch_function_unary(x):
            return overrides.handle_torch_function(scaled, (x,), x, factor)
        return x * factor

    x = disttorch.ones(2).as_subclass(Tagged)
    for function, args in ((blend, (x, disttorch.ones(2))), (scaled, (x, 3))):
        Tagged.told.clear()
        assert type(function(*args)) is Tagged
        assert [func for func, _, _ in Tagged.told] == [function]
    assert type(blend(disttorch.ones(2), disttorch.ones(2))) is Tensor
    assert overrides.is_tensor_like(x)
    assert not overrides.has_torch_function((disttorch.ones(1), 2, nn.Parameter(disttorch.ones(1))))
    with pytest.raises(TypeError, match=r"no implementation found for 'builtins.len' on types .*: \[\]"):
        overrides.handle_torch_function(len, (1,), "x")


def test_copies_pickles_and_printing_keep_class_and_attributes(monkeypatch):
    class Named(Tensor):
        pass

    monkeypatch.setattr(sys.modules[__name__], "Named", Named, raising=False)  # where pickle looks for it
    Named.__qualname__ = "Named"
    x = disttorch.tensor([1.0, 2.0]).as_subclass(Named)
    x.name_of_it = ["a"]
    for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(made) is Named
        assert made.name_of_it == ["a"]
        assert made.name_of_it is not x.name_of_it
        assert made.tolist() == [1, 2]
    assert repr(x) == "Named([1., 2.])"
    assert repr(nn.Parameter(disttorch.ones(1))) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert pickle.loads(pickle.dumps(F.relu)) is F.relu
    assert pickle.loads(pickle.dumps(disttorch.add)) is disttorch.add


def test_a_leaf_of_a_class():
    class Mine(Tensor):
        @staticmethod
        def __new__(cls, data, scale):
            made = Tensor._make_subclass(cls, data, True)
            made.scale = scale
            return made

        def __init__(self, data, scale):
            pass

    data = disttorch.ones(2)
    x = Mine(data, 3)
    assert (type(x), x.is_leaf, x.requires_grad, x.scale) == (Mine, True, True, 3)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]
    data.zero_()
    assert x.tolist() == [0, 0]
    with pytest.raises(TypeError, match="argument 'cls' must be a class that derives from Tensor"):
        data.as_subclass(int)


def test_programs_without_such_classes_never_pay():
    script = """
import disttorch
from disttorch import nn, overrides, distributed
nn.Linear(2, 2)(disttorch.ones(1, 2)).sum().backward()
assert not overrides.install.cache_info().currsize
assert not hasattr(disttorch.add, "__wrapped__")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_parameters_and_buffers_of_a_class():
    """Each keeps its class, and counts as a Parameter or Buffer all the same."""

    class Mine(Tensor):
        pass

    x = disttorch.arange(6.0).view(2, 3).as_subclass(Mine)
    model = nn.Linear(3, 2)
    model.weight = weight = nn.Parameter(x)
    model.mean = nn.Buffer(x, persistent=False)
    assert (type(weight), weight.is_leaf, weight.requires_grad) == (Mine, True, True)
    assert isinstance(weight, nn.Parameter)
    assert not isinstance(weight, nn.Buffer)
    assert not isinstance(x, nn.Parameter)
    assert isinstance(model.mean, nn.Buffer)
    assert list(dict(model.named_parameters())) == ["weight", "bias"]
    assert repr(weight) == "Parameter(Mine([[0., 1., 2.],\n      [3., 4., 5.]], requires_grad=True))"
    made = model(disttorch.ones(4, 3))
    made.sum().backward()
    disttorch.optim.SGD(model.parameters(), lr=0.5).step()
    assert (type(made), type(weight.grad)) == (Mine, Tensor)
    assert x.tolist() == [[-2, -1, 0], [1, 2, 3]]
    for other in (copy.deepcopy(model), model.double(), nn.ParameterList([x])):
        (parameter, *_) = other.parameters()
        assert type(parameter) is Mine
        assert isinstance(parameter, nn.Parameter)
    model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)
    assert type(model.weight) is Mine
    assert isinstance(model.weight, nn.Parameter)

    class Closed(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            with _C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))

    with pytest.raises(RuntimeError, match="Creating a Parameter from an instance of type Closed requires"):
        nn.Parameter(disttorch.ones(1).as_subclass(Closed))


def test_classes_that_derive_from_parameter():
    class Mine(nn.Parameter):
        pass

    mine = Mine(disttorch.zeros(2))
    mine._scale = 3
    assert repr(mine) == "Parameter containing:\nParameter(Mine([0., 0.], requires_grad=True))"
    assert type(copy.deepcopy(mine)) is Mine
    assert not isinstance(nn.Parameter(disttorch.zeros(1)), Mine)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_keep_the_class(kind):
    class Mine(Tensor):
        pass

    x = disttorch.ones(5, 2, 3).as_subclass(Mine)
    output, states = getattr(nn, kind)(3, 4, num_layers=2)(x)
    packed, last = getattr(nn, kind)(3, 4)(nn.utils.rnn.pack_padded_sequence(x, [5, 3]))
    cell = getattr(nn, kind + "Cell")(3, 4)(x[0])
    made = [output, packed.data]
    for each in (states, last, cell):
        made += each if isinstance(each, tuple) else [each]
    assert [type(t) for t in made] == [Mine] * len(made)


def test_copies_keep_private_attributes():
    class Mine(Tensor):
        pass

    x = disttorch.ones(2, requires_grad=True).as_subclass(Mine).detach()
    x._scale = 3
    assert copy.deepcopy(x)._scale == 3
