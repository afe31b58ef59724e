"""Residual networks: ResNet, ResNeXt and wide ResNet."""

from collections.abc import Callable, Sequence

from disttorch import Tensor
from disttorch.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    GroupNorm,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)
from disttorch.vision.models.build import builder

Norm = Callable[[int], Module]


def conv3x3(before: int, after: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> Conv2d:
    """A 3x3 convolution without bias that keeps the size (but for the stride)."""
    return Conv2d(before, after, 3, stride, padding=dilation, groups=groups, bias=False, dilation=dilation)


def conv1x1(before: int, after: int, stride: int = 1) -> Conv2d:
    """A 1x1 convolution without bias."""
    return Conv2d(before, after, kernel_size=1, stride=stride, bias=False)


class BasicBlock(Module):
    """Two 3x3 convolutions beside the identity (or `downsample`, where the shape changes)."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm = BatchNorm2d,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise NotImplementedError("Dilation > 1 not supported in BasicBlock")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class Bottleneck(Module):
    """1x1, 3x3 and 1x1 convolutions beside the identity; the 3x3 one carries the stride ("ResNet v1.5")."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm = BatchNorm2d,
    ) -> None:
        super().__init__()
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += identity
        return self.relu(out)


class ResNet(Module):
    """A 7x7 convolution, four stages of `layers` blocks each, and one linear layer; for pictures of any size.

    `replace_stride_with_dilation` says for each of the last three stages whether it keeps its size and dilates its
    convolutions instead. `zero_init_residual` starts each block as the identity (P. Goyal and others, 2017).
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        dilate = (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilate) != 3:
            raise ValueError(
                f"replace_stride_with_dilation should be None or a 3-element tuple, got {replace_stride_with_dilation}"
            )
        self._norm_layer = norm_layer or BatchNorm2d
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        self.conv1 = Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = ReLU(inplace=True)
        self.maxpool = MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2, dilate=dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2, dilate=dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2, dilate=dilate[2])
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(512 * block.expansion, num_classes)
        self._initialize(zero_init_residual)

    def _make_layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> Sequential:
        dilation = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        after = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != after:
            downsample = Sequential(conv1x1(self.inplanes, after, stride), self._norm_layer(after))
        shape = {"groups": self.groups, "base_width": self.base_width, "norm_layer": self._norm_layer}
        first = block(self.inplanes, planes, stride, downsample, dilation=dilation, **shape)
        self.inplanes = after
        return Sequential(first, *(block(after, planes, dilation=self.dilation, **shape) for _ in range(1, blocks)))

    def _initialize(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BatchNorm2d | GroupNorm):
                init.ones_(module.weight)
                init.zeros_(module.bias)
        for module in self.modules() if zero_init_residual else ():
            if isinstance(module, Bottleneck):
                init.zeros_(module.bn3.weight)
            elif isinstance(module, BasicBlock):
                init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, H, W)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, 64, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, 512 expansion, H/32, W/32)
        return self.fc(self.avgpool(x).flatten(1))  # (B, num_classes)


RESNET = "K. He and others, Deep Residual Learning for Image Recognition (2015)"
RESNEXT = "S. Xie and others, Aggregated Residual Transformations for Deep Neural Networks (2016)"
WIDE = "S. Zagoruyko, N. Komodakis, Wide Residual Networks (2016)"
resnet18 = builder("resnet18", ResNet, RESNET, block=BasicBlock, layers=(2, 2, 2, 2))
resnet34 = builder("resnet34", ResNet, RESNET, block=BasicBlock, layers=(3, 4, 6, 3))
resnet50 = builder("resnet50", ResNet, RESNET, block=Bottleneck, layers=(3, 4, 6, 3))
resnet101 = builder("resnet101", ResNet, RESNET, block=Bottleneck, layers=(3, 4, 23, 3))
resnet152 = builder("resnet152", ResNet, RESNET, block=Bottleneck, layers=(3, 8, 36, 3))
_next = {"block": Bottleneck, "groups": 32}
resnext50_32x4d = builder("resnext50_32x4d", ResNet, RESNEXT, layers=(3, 4, 6, 3), width_per_group=4, **_next)
resnext101_32x8d = builder("resnext101_32x8d", ResNet, RESNEXT, layers=(3, 4, 23, 3), width_per_group=8, **_next)
_wide = {"block": Bottleneck, "width_per_group": 128}
wide_resnet50_2 = builder("wide_resnet50_2", ResNet, WIDE, layers=(3, 4, 6, 3), **_wide)
wide_resnet101_2 = builder("wide_resnet101_2", ResNet, WIDE, layers=(3, 4, 23, 3), **_wide)
