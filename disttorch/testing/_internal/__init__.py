"""torch.testing._internal: the few of its names that programs outside PyTorch use."""
