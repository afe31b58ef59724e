"""Pictures: datasets, transforms and models with torchvision's names. `pip install disttorch[vision]` brings Pillow."""

from disttorch.vision import datasets, io, models, ops, transforms, utils

__version__ = "0.28.0"  # of torchvision, whose names are answered

__all__ = ["datasets", "io", "models", "ops", "transforms", "utils"]
