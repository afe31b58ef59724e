"""torch.utils.hooks: what registering a hook gives."""

from ..autograd.node import RemovableHandle

__all__ = ["RemovableHandle"]
