"""MobileNetV2."""

from collections.abc import Callable

from disttorch import Tensor
from disttorch.nn import BatchNorm2d, Conv2d, Dropout, GroupNorm, Linear, Module, ReLU6, Sequential, init
from disttorch.vision.models.build import builder

Norm = Callable[[int], Module]

# Stages of inverted residuals: (expansion, channels, blocks, first block's stride), table 2 of the paper.
SETTING = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST, LAST = 32, 1280  # channels of the first and the last convolution


def divisible(channels: float, divisor: int) -> int:
    """The nearest multiple of `divisor`, at least one, and never more than 10 % below."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class Conv2dNormActivation(Sequential):
    """A convolution that keeps the size (but for its stride), its normalisation and ReLU6."""

    def __init__(
        self, before: int, after: int, norm_layer: Norm, kernel_size: int = 3, stride: int = 1, groups: int = 1
    ):
        padding = (kernel_size - 1) // 2
        convolution = Conv2d(before, after, kernel_size, stride, padding, groups=groups, bias=False)
        super().__init__(convolution, norm_layer(after), ReLU6(inplace=True))


class InvertedResidual(Module):
    """Widened by a 1x1 convolution, filtered channel by channel, narrowed again; beside the identity if it fits."""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Norm | None = None) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm = norm_layer or BatchNorm2d
        hidden = round(inp * expand_ratio)
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        widen = [Conv2dNormActivation(inp, hidden, norm, kernel_size=1)] if expand_ratio != 1 else []
        self.conv = Sequential(
            *widen,
            Conv2dNormActivation(hidden, hidden, norm, stride=stride, groups=hidden),
            Conv2d(hidden, oup, 1, 1, 0, bias=False),
            norm(oup),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(Module):
    """For pictures of any size; `width_mult` scales the channels, rounded to multiples of `round_nearest`."""

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: list[list[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., Module] | None = None,
        norm_layer: Norm | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        block, norm = block or InvertedResidual, norm_layer or BatchNorm2d
        setting = SETTING if inverted_residual_setting is None else inverted_residual_setting
        if not setting or any(len(row) != 4 for row in setting):
            raise ValueError(
                f"inverted_residual_setting should be non-empty or a 4-element list, got {inverted_residual_setting}"
            )
        before = divisible(FIRST * width_mult, round_nearest)
        self.last_channel = divisible(LAST * max(1.0, width_mult), round_nearest)
        features: list[Module] = [Conv2dNormActivation(3, before, norm, stride=2)]
        for expansion, channels, blocks, stride in setting:
            after = divisible(channels * width_mult, round_nearest)
            for index in range(blocks):
                one = block(before, after, stride if index == 0 else 1, expand_ratio=expansion, norm_layer=norm)
                features.append(one)
                before = after
        features.append(Conv2dNormActivation(before, self.last_channel, norm, kernel_size=1))
        self.features = Sequential(*features)
        self.classifier = Sequential(Dropout(p=dropout), Linear(self.last_channel, num_classes))
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W)
        x = self.features(x).mean((2, 3))  # (B, last_channel)
        return self.classifier(x)  # (B, num_classes)


def _initialize(module: Module) -> None:
    if isinstance(module, Conv2d):
        init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, BatchNorm2d | GroupNorm):
        init.ones_(module.weight)
    elif isinstance(module, Linear):
        init.normal_(module.weight, 0, 0.01)
    if isinstance(module, Conv2d | BatchNorm2d | GroupNorm | Linear) and module.bias is not None:
        init.zeros_(module.bias)


PAPER = "M. Sandler and others, MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018)"
mobilenet_v2 = builder("mobilenet_v2", MobileNetV2, PAPER)
