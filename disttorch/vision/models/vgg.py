"""VGG with 11, 13, 16 and 19 layers, without and with batch normalisation."""

from disttorch import Tensor
from disttorch.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)
from disttorch.vision.models.build import builder

# How many 3x3 convolutions stand in each of the five stages, and how many channels a stage has.
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


class VGG(Module):
    """`features`, then three linear layers; for pictures of 32x32 or more (trained on 224x224)."""

    def __init__(
        self, features: Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = AdaptiveAvgPool2d((7, 7))
        self.classifier = Sequential(
            Linear(512 * 7 * 7, 4096),
            ReLU(True),
            Dropout(p=dropout),
            Linear(4096, 4096),
            ReLU(True),
            Dropout(p=dropout),
            Linear(4096, num_classes),
        )
        if init_weights:
            self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W)
        x = self.avgpool(self.features(x))  # (B, 512, 7, 7)
        return self.classifier(x.flatten(1))  # (B, num_classes)


def initialize(module: Module) -> None:
    if isinstance(module, Conv2d):
        init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        init.zeros_(module.bias)
    elif isinstance(module, Linear):
        init.normal_(module.weight, 0, 0.01)
        init.zeros_(module.bias)


def make_features(layers: int, batch_norm: bool) -> Sequential:
    """The convolutional stages, each ended by a pooling that halves height and width."""
    modules: list[Module] = []
    before = 3
    for count, channels in zip(STAGES[layers], CHANNELS, strict=True):
        for _ in range(count):
            modules.append(Conv2d(before, channels, kernel_size=3, padding=1))
            if batch_norm:
                modules.append(BatchNorm2d(channels))
            modules.append(ReLU(inplace=True))
            before = channels
        modules.append(MaxPool2d(kernel_size=2, stride=2))
    return Sequential(*modules)


def _vgg(layers: int, batch_norm: bool, **options: object) -> VGG:
    return VGG(make_features(layers, batch_norm), **options)


PAPER = "K. Simonyan, A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition (2014)"
vgg11 = builder("vgg11", _vgg, PAPER, layers=11, batch_norm=False)
vgg13 = builder("vgg13", _vgg, PAPER, layers=13, batch_norm=False)
vgg16 = builder("vgg16", _vgg, PAPER, layers=16, batch_norm=False)
vgg19 = builder("vgg19", _vgg, PAPER, layers=19, batch_norm=False)
vgg11_bn = builder("vgg11_bn", _vgg, PAPER, layers=11, batch_norm=True)
vgg13_bn = builder("vgg13_bn", _vgg, PAPER, layers=13, batch_norm=True)
vgg16_bn = builder("vgg16_bn", _vgg, PAPER, layers=16, batch_norm=True)
vgg19_bn = builder("vgg19_bn", _vgg, PAPER, layers=19, batch_norm=True)
