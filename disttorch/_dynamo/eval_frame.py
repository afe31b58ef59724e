"""torch._dynamo.eval_frame: what libraries look for there."""

__all__ = ["OptimizedModule", "is_dynamo_supported"]


class OptimizedModule:
    """What PyTorch's `compile` makes of a module. No module here is one."""


def is_dynamo_supported() -> bool:
    """False: nothing is compiled."""
    return False
