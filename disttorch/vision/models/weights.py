"""torchvision's names of trained weights: `ResNet18_Weights.DEFAULT`. The weights themselves do not come along."""

from enum import Enum

_VERSIONS = {  # torchvision's versions of each; DEFAULT is the last
    "AlexNet": 1, "MobileNet_V2": 2, "ResNet18": 1, "ResNet34": 1, "ResNet50": 2, "ResNet101": 2, "ResNet152": 2,
    "ResNeXt50_32X4D": 2, "ResNeXt101_32X8D": 2, "Wide_ResNet50_2": 2, "Wide_ResNet101_2": 2, "VGG11": 1,
    "VGG11_BN": 1, "VGG13": 1, "VGG13_BN": 1, "VGG16": 1, "VGG16_BN": 1, "VGG19": 1, "VGG19_BN": 1, "ViT_B_16": 1,
    "ViT_B_32": 1, "ViT_L_16": 1, "ViT_L_32": 1,
}  # fmt: skip


def _weights(name: str, versions: int) -> type[Enum]:
    names = [f"IMAGENET1K_V{i + 1}" for i in range(versions)]
    return Enum(f"{name}_Weights", {**{n: n for n in names}, "DEFAULT": names[-1]}, module=__name__)


__all__ = [f"{name}_Weights" for name in _VERSIONS]
globals().update({f"{name}_Weights": _weights(name, versions) for name, versions in _VERSIONS.items()})
