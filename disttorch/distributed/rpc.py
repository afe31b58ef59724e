"""torch.distributed.rpc as it is in a PyTorch that was built without it: there is no remote procedure call."""

__all__ = ["is_available"]


def is_available() -> bool:
    """False."""
    return False
