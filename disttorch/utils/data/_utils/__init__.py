"""torch.utils.data._utils, where programs look for the functions that put batches together."""

from . import collate

__all__ = ["collate"]
