"""torch._C: what libraries call of PyTorch's compiled part. There is none here."""


def _log_api_usage_once(event: str) -> None:
    """Nothing is counted or sent."""
