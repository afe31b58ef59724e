"""torch.utils.data.datapipes: streams of samples made of other streams; the one that programs look for."""

from . import iter

__all__ = ["iter"]
