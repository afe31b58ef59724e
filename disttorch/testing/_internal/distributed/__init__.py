"""torch.testing._internal.distributed: the backend "fake"."""
