"""torch.utils.tensorboard: the SummaryWriter of the package tensorboardX, which takes our tensors."""

try:
    from tensorboardX import SummaryWriter
except ImportError as error:
    raise ImportError("torch.utils.tensorboard needs the package tensorboardX: pip install tensorboardX") from error

__all__ = ["SummaryWriter"]
