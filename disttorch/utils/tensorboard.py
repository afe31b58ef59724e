"""torch.utils.tensorboard: the SummaryWriter of the package tensorboardX, which takes our tensors."""

__all__ = ["SummaryWriter"]  # noqa: F822 - imported when asked for


def __getattr__(name: str):
    if name != "SummaryWriter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError("torch.utils.tensorboard needs the package tensorboardX: pip install tensorboardX") from error
    return SummaryWriter
