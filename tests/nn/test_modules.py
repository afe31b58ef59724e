"""Modules without PyTorch beside them: names, state, hooks, layers that train, values recorded from PyTorch 2.13."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import disttorch as torch
from disttorch import nn

SKIPPED = {"Module", "RNNBase", "RNNCellBase", "NonDynamicallyQuantizableLinear", "LinearCrossEntropyOptions"}

# After manual_seed(0).
LINEAR = [
    [-0.004322517663240433, 0.3097158372402191, -0.4751853346824646],
    [-0.4248946011066437, -0.2223689705133438, 0.15482072532176971],
]
EMBEDDING = [[0.0, 0.0, 0.0], [0.8380263447761536, -0.7192575931549072, -0.40334352850914]]


def layers():
    """Every layer of nn with arguments that make one."""
    given = {
        "Linear": (2, 3), "Bilinear": (2, 3, 4), "Embedding": (4, 3), "EmbeddingBag": (4, 3), "Threshold": (0.1, 0.2),
        "LSTM": (2, 3), "GRU": (2, 3), "RNN": (2, 3), "LSTMCell": (2, 3), "GRUCell": (2, 3), "RNNCell": (2, 3),
        "MultiheadAttention": (4, 2), "AdaptiveLogSoftmaxWithLoss": (8, 9, [4]), "Transformer": (8, 2, 1, 1, 8),
        "TransformerEncoderLayer": (4, 2), "TransformerDecoderLayer": (4, 2), "Unflatten": (1, (2, 2)), "Fold": (4, 2),
        "Unfold": (2,), "PixelShuffle": (2,), "PixelUnshuffle": (2,), "ChannelShuffle": (2,), "GroupNorm": (2, 4),
        "LayerNorm": (3,), "RMSNorm": (3,), "LocalResponseNorm": (2,), "CrossMapLRN2d": (2,), "LazyLinear": (3,),
        "LinearCrossEntropyLoss": (2, 3),
    }  # fmt: skip
    for name in nn.modules.__all__:
        if name in SKIPPED:
            continue
        args = given.get(name)
        if name in ("TransformerEncoder", "TransformerDecoder"):
            args = (getattr(nn, name + "Layer")(4, 2), 2)
        elif args is None and name.startswith(("Conv", "LazyConv")):
            args = (2, 4, 3) if name.startswith("Conv") else (4, 3)
        elif args is None and name.startswith("ConstantPad"):
            args = (1, 0.5)
        elif args is None and ("Pad" in name or "AvgPool" in name or "MaxPool" in name or "Unpool" in name):
            args = (2,) if "Fractional" not in name else (2, 2)
        elif args is None and name.startswith("LPPool"):
            args = (2, 3)
        elif args is None and ("BatchNorm" in name or "InstanceNorm" in name) and "Lazy" not in name:
            args = (3,)
        yield name, args or ()


@pytest.mark.parametrize(("name", "args"), list(layers()))
@pytest.mark.filterwarnings("ignore:NLLLoss2d")
def test_every_layer_prints_copies_pickles_and_reloads(name, args):
    module = getattr(nn, name)(*args)
    assert type(module).__name__ == name
    assert type(module).__doc__
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(again) == repr(module)
        assert list(again.state_dict()) == list(module.state_dict())
        again.load_state_dict(module.state_dict())
    assert module.eval().train().training


def test_subclass_of_a_layer_made_of_a_function():
    class Mine(nn.LeakyReLU):
        def __init__(self):
            super().__init__(0.5)
            self.seen = 0

        def forward(self, input):
            self.seen += 1
            return super().forward(input)

    module = Mine()
    assert module(torch.tensor([-2.0, 2.0])).tolist() == [-1, 2]
    module.negative_slope = 0.25
    assert module(torch.tensor([-2.0])).tolist() == [-0.5]
    assert (module.seen, repr(module)) == (2, "Mine(negative_slope=0.25)")
    with pytest.raises(TypeError, match=r"LeakyReLU.__init__\(\) got an unexpected keyword argument 'x'"):
        nn.LeakyReLU(x=3)
    with pytest.raises(TypeError, match=r"Threshold.__init__\(\) missing a required argument: 'threshold'"):
        nn.Threshold()


def test_initial_values_are_pytorchs():
    torch.manual_seed(0)
    assert nn.Linear(3, 2).weight.tolist() == np.float32(LINEAR).tolist()
    assert nn.Embedding(2, 3, padding_idx=0).weight.tolist() == np.float32(EMBEDDING).tolist()


def test_a_network_learns():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1),
        nn.Linear(16, 2),
    )  # fmt: skip
    x = torch.randn(32, 1, 4, 4)
    y = (x[:, 0, :2].sum((1, 2)) > x[:, 0, 2:].sum((1, 2))).long()
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(net(x), y)
        net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.2 * p.grad
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]
    assert (net.eval()(x).argmax(1) == y).float().mean().item() > 0.9


def test_parameters_stay_what_they_are_when_moved():
    net = nn.Linear(2, 2)
    weight = net.weight
    net.double()
    assert net.weight is weight
    assert weight.dtype is torch.float64
    nn.Parameter(weight)[0].data.fill_(0)  # shares the memory
    assert weight[0].tolist() == [0, 0]


def test_parameter():
    p = nn.Parameter(torch.ones(2))
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    p.note = "kept"
    for again in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert isinstance(again, nn.Parameter)
        assert again.requires_grad
        assert again.tolist() == [1, 1]
    assert pickle.loads(pickle.dumps(p)).note == "kept"
    assert nn.Parameter().shape == (0,)
    assert not nn.Parameter(torch.ones(1, dtype=torch.int64), requires_grad=False).requires_grad
    with torch.no_grad():
        assert nn.Parameter(torch.ones(1)).requires_grad
    with pytest.raises(TypeError, match="Parameter data must be a Tensor, not list"):
        nn.Parameter([1.0])


def test_hook_that_raises_while_forward_raises():
    class Broken(nn.Module):
        def forward(self):
            raise ValueError("forward")

    def hook(module, args, output):
        raise KeyError("hook")

    net = Broken()
    net.register_forward_hook(hook, always_call=True)
    with pytest.warns(UserWarning, match="silenced"), pytest.raises(ValueError, match="forward"):
        net()


def test_parametrised_copies_are_apart():
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    net = nn.utils.parametrize.register_parametrization(nn.Linear(2, 2), "weight", Twice())
    again = copy.deepcopy(net)
    nn.utils.parametrize.remove_parametrizations(net, "weight")
    assert (again.weight == net.weight).all()
    assert type(net) is nn.Linear
    assert nn.utils.parametrize.type_before_parametrizations(again) is nn.Linear


def test_orthogonal_matrices():
    for shape in ((4, 4), (3, 5), (5, 3)):
        for kind in ("matrix_exp", "cayley", "householder"):
            layer = nn.utils.parametrizations.orthogonal(nn.Linear(*shape), orthogonal_map=kind)
            w = layer.weight if shape[0] <= shape[1] else layer.weight.T
            product = (w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w).detach()
            assert torch.allclose(product, torch.eye(len(product)), atol=1e-5), (shape, kind)


def test_spectral_norm_finds_the_largest_singular_value():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6), n_power_iterations=30)
    layer(torch.ones(1, 4))
    assert np.linalg.norm(layer.weight.detach().numpy(), 2) == pytest.approx(1, abs=1e-3)
    old = nn.utils.spectral_norm(nn.Conv2d(2, 3, 3), n_power_iterations=30)
    old(torch.ones(1, 2, 4, 4))
    assert np.linalg.norm(old.weight.detach().numpy().reshape(3, -1), 2) == pytest.approx(1, abs=1e-3)
    nn.utils.remove_spectral_norm(old)
    assert list(old.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="spectral_norm of 'weight' not found"):
        nn.utils.remove_spectral_norm(old)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
def test_weight_norms_state_passes_from_the_old_form_to_the_new():
    old = nn.utils.weight_norm(nn.Linear(3, 2))
    new = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    assert torch.allclose(new.weight, old.weight)
    nn.utils.remove_weight_norm(old)
    assert torch.allclose(new.weight, old.weight)


def test_adaptive_softmax():
    torch.manual_seed(0)
    net = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0)
    x, y = torch.randn(30, 8), torch.arange(30) % 20
    output, loss = net(x, y)
    everything = net.log_prob(x)
    assert torch.allclose(everything.exp().sum(1), torch.ones(30), atol=1e-5)
    assert torch.allclose(everything.gather(1, y.unsqueeze(1)).squeeze(1), output, atol=1e-6)
    assert loss.item() == pytest.approx(-output.mean().item())
    assert (net.predict(x) == everything.argmax(1)).all()
    with pytest.raises(RuntimeError, match=r"Target values should be in \[0, 19\]"):
        net(x, y + 1)


def test_transformer_hides_what_is_said_to_be_hidden():
    torch.manual_seed(0)
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    x = torch.randn(3, 5, 8)
    before = layer(x, mask=mask)
    changed = x.clone()
    changed[:, -1] += 1
    after = layer(changed, mask=mask)
    assert torch.allclose(before[:, :-1], after[:, :-1], atol=1e-6)
    assert not torch.allclose(before[:, -1], after[:, -1], atol=1e-3)


def test_old_loss_settings_are_warned_of():
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        loss = nn.MSELoss(size_average=False)
    assert loss(torch.ones(2), torch.zeros(2)).item() == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nn.MSELoss()(torch.ones(2), torch.zeros(2)).item() == 1


def test_state_of_lazy_modules_says_what_waits_for_its_shape():
    waiting = nn.Sequential(nn.LazyLinear(3))
    state = waiting.state_dict()
    assert type(state["0.weight"]) is nn.UninitializedParameter
    nn.Sequential(nn.LazyLinear(3)).load_state_dict(state)
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        nn.Sequential(nn.Linear(2, 3)).load_state_dict(state)


def test_backward_hooks_of_modules_whose_inputs_need_no_gradient_are_warned_of():
    m = nn.Linear(2, 2)
    m.register_full_backward_pre_hook(lambda m, g: None)
    with pytest.warns(UserWarning, match="Full backward hook is firing"):
        m(torch.ones(1, 2)).sum().backward()


def test_a_dictionary_joined_with_a_parameter_dict_stays_one():
    joined = {"a": 1} | nn.ParameterDict({"b": torch.ones(1)})
    assert type(joined) is dict
    assert list(joined) == ["a", "b"]


def test_a_pickled_layer_without_bias_computes_the_same():
    layer, x = nn.Linear(3, 3, bias=False), torch.randn(2, 3)
    again = pickle.loads(pickle.dumps(layer))
    assert torch.equal(again(x), layer(x))
    assert again.weight._data.dtype is x._data.dtype  # by this kernels know it
    assert torch.from_numpy(pickle.loads(pickle.dumps(x.numpy())))._data.dtype is x._data.dtype
    lstm = nn.LSTM(3, 4, proj_size=2)
    assert torch.allclose(pickle.loads(pickle.dumps(lstm))(x)[0], lstm(x)[0])


def test_modules_whose_weight_is_a_result_can_be_pickled():
    layer, x = nn.utils.spectral_norm(nn.Linear(3, 2)).eval(), torch.randn(2, 3)
    layer(x)
    assert layer.weight.grad_fn is not None
    again = pickle.loads(pickle.dumps(layer))
    assert again.weight.is_leaf
    assert again.weight.requires_grad
    assert torch.equal(again(x), layer(x))
