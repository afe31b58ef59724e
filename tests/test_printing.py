"""How tensors print: strings recorded from PyTorch 2.13."""

import pytest

import disttorch
from disttorch.printing import get_printoptions, printoptions, set_printoptions, tensor_repr

NAMES = {**{name: getattr(disttorch, name) for name in ("tensor", "ones", "zeros", "arange")}, "torch": disttorch}
RECORDED = {
    "tensor(3)": ("tensor(3)"),
    "tensor(2.5)": ("tensor(2.5000)"),
    "tensor([1.0, 2, 3])": ("tensor([1., 2., 3.])"),
    "tensor([1.5, -2.25, 3])": ("tensor([ 1.5000, -2.2500,  3.0000])"),
    "tensor([1e-5, 1.0])": ("tensor([1.0000e-05, 1.0000e+00])"),
    "tensor([1e5, 1.5])": ("tensor([1.0000e+05, 1.5000e+00])"),
    "tensor([1e9])": ("tensor([1.0000e+09])"),
    'tensor([float("nan"), float("inf"), -1.0])': ("tensor([nan, inf, -1.])"),
    'tensor([float("nan"), 0.5])': ("tensor([   nan, 0.5000])"),
    "tensor([[1, -20], [300, 4]])": ("tensor([[  1, -20],\n        [300,   4]])"),
    "tensor([True, False])": ("tensor([ True, False])"),
    "tensor([])": ("tensor([])"),
    "tensor([[]])": ("tensor([], size=(1, 0))"),
    "tensor([], dtype=torch.int64)": ("tensor([], dtype=torch.int64)"),
    "tensor([1, 2], dtype=torch.uint8)": ("tensor([1, 2], dtype=torch.uint8)"),
    "tensor(1.0, dtype=torch.float64)": ("tensor(1., dtype=torch.float64)"),
    "tensor([0.1, 0.25], dtype=torch.bfloat16)": ("tensor([0.1001, 0.2500], dtype=torch.bfloat16)"),
    "tensor([0.1, 0.25], dtype=torch.float16)": ("tensor([0.1000, 0.2500], dtype=torch.float16)"),
    "tensor([1 + 2j, -0.5j])": ("tensor([1.+2.0000j, -0.-0.5000j])"),
    "tensor([1.0], requires_grad=True)": ("tensor([1.], requires_grad=True)"),
    "tensor([1.0], requires_grad=True) * 2": ("tensor([2.], grad_fn=<MulBackward0>)"),
    "ones(2, 2, requires_grad=True).sum()": ("tensor(4., grad_fn=<SumBackward0>)"),
    "zeros(2, 0, 3)": ("tensor([], size=(2, 0, 3))"),
    "arange(30)": (
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])"
    ),
    "arange(1001)": ("tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    "arange(12.0).reshape(2, 2, 3)": (
        "tensor([[[ 0.,  1.,  2.],\n"
        "         [ 3.,  4.,  5.]],\n"
        "\n"
        "        [[ 6.,  7.,  8.],\n"
        "         [ 9., 10., 11.]]])"
    ),
    "zeros(40, 40)": (
        "tensor([[0., 0., 0.,  ..., 0., 0., 0.],\n"
        "        [0., 0., 0.,  ..., 0., 0., 0.],\n"
        "        [0., 0., 0.,  ..., 0., 0., 0.],\n"
        "        ...,\n"
        "        [0., 0., 0.,  ..., 0., 0., 0.],\n"
        "        [0., 0., 0.,  ..., 0., 0., 0.],\n"
        "        [0., 0., 0.,  ..., 0., 0., 0.]])"
    ),
    "zeros(3, 400)": (
        "tensor([[0., 0., 0.,  ..., 0., 0., 0.],\n"
        "        [0., 0., 0.,  ..., 0., 0., 0.],\n"
        "        [0., 0., 0.,  ..., 0., 0., 0.]])"
    ),
    "arange(20) * 0.37": (
        "tensor([0.0000, 0.3700, 0.7400, 1.1100, 1.4800, 1.8500, 2.2200, 2.5900, 2.9600,\n"
        "        3.3300, 3.7000, 4.0700, 4.4400, 4.8100, 5.1800, 5.5500, 5.9200, 6.2900,\n"
        "        6.6600, 7.0300])"
    ),
    "tensor(-0.0)": ("tensor(-0.)"),
}


@pytest.mark.parametrize("expression", RECORDED)
def test_recorded(expression):
    assert tensor_repr(eval(expression, dict(NAMES))) == RECORDED[expression]


def test_options():
    t = disttorch.tensor([1.12345])
    with printoptions(precision=2):
        assert tensor_repr(t) == "tensor([1.12])"
        with printoptions(sci_mode=True):
            assert tensor_repr(t) == "tensor([1.12e+00])"
    with printoptions(threshold=5):
        assert tensor_repr(disttorch.arange(10)) == "tensor([0, 1, 2,  ..., 7, 8, 9])"
    assert tensor_repr(t) == "tensor([1.1235])"


def test_profiles():
    before = get_printoptions()
    try:
        set_printoptions(profile="short")
        assert get_printoptions() == {**before, "precision": 2, "edgeitems": 2}
        set_printoptions(profile="full", linewidth=100)
        assert get_printoptions() == {**before, "threshold": float("inf"), "linewidth": 100}
    finally:
        set_printoptions(profile="default")
    assert get_printoptions() == before


def test_a_tensor_on_a_device_says_so():
    disttorch.devices.simulate(2)
    try:
        assert tensor_repr(disttorch.ones(2, device="cuda:1")) == "tensor([1., 1.], device='cuda:1')"
        assert tensor_repr(disttorch.ones(1, device="cuda", dtype=disttorch.int32)) == (
            "tensor([1], device='cuda:0', dtype=torch.int32)"
        )
    finally:
        disttorch.devices.simulate(None)


def test_another_name_and_its_indentation():
    assert tensor_repr(disttorch.zeros(2, 2), "Mine") == "Mine([[0., 0.],\n      [0., 0.]])"


def test_limits_and_layouts():
    assert repr(disttorch.finfo(disttorch.float16)) == (
        "finfo(resolution=0.001, min=-65504, max=65504, eps=0.000976562, smallest_normal=6.10352e-05, "
        "tiny=6.10352e-05, dtype=float16)"
    )
    assert repr(disttorch.iinfo(disttorch.int8)) == "iinfo(min=-128, max=127, dtype=int8)"
    assert repr(disttorch.ones(1).layout) == "torch.strided"
    assert repr([disttorch.channels_last]) == "[torch.channels_last]"


def test_bits_of_floats():
    x = disttorch.ones(2)
    with pytest.raises(TypeError, match="is only implemented on integer and Boolean-type tensors"):
        _ = ~x
    with pytest.raises(NotImplementedError, match="\"bitwise_and_cpu\" not implemented for 'Float'"):
        _ = x & x
    with pytest.raises(NotImplementedError, match="\"bitwise_or_cpu\" not implemented for 'BFloat16'"):
        _ = x.bfloat16() | x.bfloat16()


def test_names_of_composed_nodes():
    x = disttorch.ones(1, 4, 4, requires_grad=True)
    functional = disttorch.nn.functional
    results = [2 / x, functional.dropout(x), functional.l1_loss(x, x.detach()), functional.max_pool1d(x, 2)]
    assert [r.grad_fn.name() for r in results] == [
        "MulBackward0", "MulBackward0", "MeanBackward0", "SqueezeBackward1",
    ]  # fmt: skip
