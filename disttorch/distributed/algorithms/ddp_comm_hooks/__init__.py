"""What DistributedDataParallel may do with a bucket instead of averaging it: `model.register_comm_hook(state,
hook)`.
"""

from . import default_hooks, powerSGD_hook, quantization_hooks

__all__ = ["default_hooks", "powerSGD_hook", "quantization_hooks"]
