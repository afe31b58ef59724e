"""torch.distributed.distributed_c10d: the same names, at the place where some programs look for them."""

from .backends import *  # noqa: F403
from .collectives import *  # noqa: F403
from .group_methods import *  # noqa: F403
from .groups import *  # noqa: F403
from .objects import *  # noqa: F403
from .point_to_point import *  # noqa: F403
from .process_group import *  # noqa: F403
from .process_group import DEFAULT_TIMEOUT as default_pg_timeout  # noqa: F401
from .process_group import GroupMember, ProcessGroup, resolve
from .reduce_ops import *  # noqa: F403
from .stores import *  # noqa: F403


def _get_default_group() -> ProcessGroup:
    """The default process group. ValueError where there is none."""
    return resolve(None)


def _get_default_store():
    """The store in which the default group's ranks have met."""
    return resolve(None).store


def _get_process_group_store(group: ProcessGroup):
    """The store in which the group's ranks have met."""
    return group.store


def _rank_not_in_group(group: ProcessGroup | None) -> bool:
    return group == GroupMember.NON_GROUP_MEMBER


def _get_pg_default_device(group: ProcessGroup | None = None):
    from ..devices import CPU

    return CPU
