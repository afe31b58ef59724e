"""torch.distributed.elastic.utils.logging: a logger by the name of who asks for it."""

import inspect
import logging


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger of that name; None: of the caller's module."""
    caller = inspect.stack()[1].frame.f_globals
    return logging.getLogger(name or caller.get("__name__"))
