"""The networks: torchvision's state_dict keys and shapes, and a forward and backward pass of each family."""

import hashlib

import pytest

import disttorch
from disttorch.vision import models

# torchvision 0.28's: entries of the state_dict, numbers in the parameters, SHA-256 of the keys and shapes (16 digits).
TORCHVISION = {
    "alexnet": (16, 61100840, "9c198ebdae1863e4"),
    "vgg11": (22, 132863336, "cb3dc23f2a13e182"),
    "vgg11_bn": (62, 132868840, "8b6717e727c0ecf9"),
    "vgg13": (26, 133047848, "67c1dc8b57fde74b"),
    "vgg13_bn": (76, 133053736, "f6b0597d18a7e4d2"),
    "vgg16": (32, 138357544, "35c4623e0cd4a39d"),
    "vgg16_bn": (97, 138365992, "347371586a8ea365"),
    "vgg19": (38, 143667240, "4723255af8f6c485"),
    "vgg19_bn": (118, 143678248, "fc3ff6fab2b5cc09"),
    "resnet18": (122, 11689512, "84fb10d9c6905a1c"),
    "resnet34": (218, 21797672, "28f9096d51307499"),
    "resnet50": (320, 25557032, "d7e4f8bb0a536344"),
    "resnet101": (626, 44549160, "02c0f34f4842751f"),
    "resnet152": (932, 60192808, "685c66205bc823aa"),
    "resnext50_32x4d": (320, 25028904, "e3bad165c034e60f"),
    "resnext101_32x8d": (626, 88791336, "da7dd7525807e2ee"),
    "wide_resnet50_2": (320, 68883240, "41203d1d536c02ed"),
    "wide_resnet101_2": (626, 126886696, "4f088c0a152b8f5c"),
    "mobilenet_v2": (314, 3504872, "37bbbce8932fd0c4"),
    "vit_b_16": (152, 86567656, "b124b34d9346c58c"),
    "vit_b_32": (152, 88224232, "f8bc3a1f2fd0c4c4"),
    "vit_l_16": (296, 304326632, "0fd5127fe79be5b3"),
}


@pytest.fixture
def quick_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are left as they are found in memory: drawing a hundred million random numbers takes seconds."""
    for name in ("uniform_", "normal_"):
        monkeypatch.setattr(disttorch.Tensor, name, lambda self, *args, **options: self)
    # It draws again what lies outside of its bounds, which would never end.
    monkeypatch.setattr(disttorch.nn.init, "trunc_normal_", lambda tensor, *args, **options: tensor)


@pytest.mark.usefixtures("quick_weights")
@pytest.mark.parametrize("name", TORCHVISION)
def test_keys_and_shapes_are_torchvisions(name: str) -> None:
    model = getattr(models, name)()
    state = model.state_dict()
    text = "\n".join(f"{key} {tuple(value.shape)}" for key, value in state.items())
    count = sum(parameter.numel() for parameter in model.parameters())
    assert (len(state), count, hashlib.sha256(text.encode()).hexdigest()[:16]) == TORCHVISION[name]


def test_every_builder_is_in_the_table() -> None:
    builders = {name for name in models.__all__ if name.islower()}
    assert builders - set(TORCHVISION) == {"vit_l_32"}


def small_vit() -> models.VisionTransformer:
    return models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5, representation_size=8)


FORWARD = {
    "lenet": (lambda: models.LeNet(5, in_channels=3), 32),
    "resnet18": (lambda: models.resnet18(num_classes=5), 33),
    "bottlenecks": (lambda: models.ResNet(models.resnet.Bottleneck, (1, 2, 1, 1), 5), 32),
    "resnext": (lambda: models.ResNet(models.resnet.Bottleneck, (1, 1, 1, 1), 5, True, 32, 4), 32),
    "mobilenet": (lambda: models.mobilenet_v2(num_classes=5, width_mult=0.35), 32),
    "vit": (small_vit, 32),
}


@pytest.mark.parametrize("name", FORWARD)
def test_every_parameter_learns(name: str) -> None:
    build, size = FORWARD[name]
    model = build()
    out = model(disttorch.randn(2, 3, size, size))
    assert out.shape == (2, 5)
    disttorch.nn.functional.cross_entropy(out, disttorch.tensor([1, 4])).backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
    model.eval()
    with disttorch.no_grad():
        one = disttorch.randn(1, 3, size, size)
        assert disttorch.equal(model(one), model(one))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("alexnet", 63), ("vgg11_bn", 32)])
def test_the_large_ones_run(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for fill in ("uniform_", "normal_"):  # as in quick_weights, but with numbers that can be reckoned with
        monkeypatch.setattr(disttorch.Tensor, fill, lambda self, *args, **options: self.zero_())
    model = getattr(models, name)(num_classes=5)
    assert model(disttorch.randn(2, 3, size, size)).shape == (2, 5)


def test_dilation_keeps_the_size() -> None:
    shapes = []
    for dilate in (False, True):
        model = models.ResNet(
            models.resnet.Bottleneck, (1, 1, 2, 1), replace_stride_with_dilation=(False, dilate, dilate)
        )
        with disttorch.no_grad():
            shapes.append(model.eval().layer4(model.layer3(disttorch.randn(1, 512, 8, 8))).shape)
    assert shapes == [(1, 2048, 2, 2), (1, 2048, 8, 8)]


def test_initial_weights() -> None:
    linear = disttorch.nn.Linear(300, 300)
    models.vgg.initialize(linear)
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.05)
    blocks = models.ResNet(models.resnet.BasicBlock, (1, 1, 1, 1), zero_init_residual=True)
    assert blocks.layer1[0].bn2.weight.abs().max().item() == 0
    wanted = (2 / (64 * 9)) ** 0.5  # kaiming_normal_, fan_out
    assert blocks.layer1[0].conv1.weight.std().item() == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: models.resnet18(pretrained=True), NotImplementedError, "resnet18: no trained weights come with"),
        (lambda: models.vgg16(weights="DEFAULT"), NotImplementedError, "disttorch.load('vgg16.pth')"),
        (lambda: models.resnet18(groups=2), ValueError, "BasicBlock only supports groups=1 and base_width=64"),
        (lambda: models.resnet50(replace_stride_with_dilation=(True,)), ValueError, "None or a 3-element tuple"),
        (lambda: models.vit_b_16(image_size=100), ValueError, "Input shape indivisible by patch size! 100 % 16"),
        (lambda: small_vit()(disttorch.zeros(1, 3, 32, 40)), ValueError, "Wrong image width! Expected 32 but got 40!"),
        (lambda: models.mobilenet_v2(inverted_residual_setting=[]), ValueError, "should be non-empty"),
    ],
)
def test_wrong_settings_are_named(build: object, error: type, text: str) -> None:
    with pytest.raises(error) as raised:
        build()
    assert text in str(raised.value)
