"""Pictures: datasets, transforms and models with torchvision's names. `pip install disttorch[vision]` brings Pillow."""

from disttorch.vision import datasets, models, transforms, utils

__all__ = ["datasets", "models", "transforms", "utils"]
