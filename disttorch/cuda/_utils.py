"""torch.cuda._utils: where programs look for `_get_device_index`."""

from .._utils import _get_device_index

__all__ = ["_get_device_index"]
