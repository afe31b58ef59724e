"""torch._C: what libraries call of PyTorch's compiled part. There is none here."""

_TensorMeta = type  # the class of the class Tensor


def _cuda_isInBadFork() -> bool:
    """False."""
    return False


def _log_api_usage_once(event: str) -> None:
    """Nothing is counted or sent."""
