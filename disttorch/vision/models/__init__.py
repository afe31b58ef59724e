"""Networks for pictures, with torchvision's names, arguments and state_dict keys."""

from disttorch.vision.models import weights
from disttorch.vision.models.alexnet import AlexNet, alexnet
from disttorch.vision.models.lenet import LeNet
from disttorch.vision.models.mobilenetv2 import MobileNetV2, mobilenet_v2
from disttorch.vision.models.resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from disttorch.vision.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from disttorch.vision.models.vision_transformer import VisionTransformer, vit_b_16, vit_b_32, vit_l_16, vit_l_32
from disttorch.vision.models.weights import *

__all__ = [
    "VGG",
    "AlexNet",
    "LeNet",
    "MobileNetV2",
    "ResNet",
    "VisionTransformer",
    "alexnet",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
__all__ += weights.__all__
