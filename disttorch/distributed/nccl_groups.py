"""ProcessGroupNCCL and its options, as programs for GPUs make them; the ranks' messages go our own ways."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from .hand_made import HandMadeGroup
from .process_group import DEFAULT_TIMEOUT, seconds

__all__ = ["ProcessGroupNCCL"]


@dataclass
class _Config:
    """NCCL's own settings, which have no effect here; None: NCCL's choice."""

    blocking: int | None = None
    cga_cluster_size: int | None = None
    collnet_enable: int | None = None
    max_ctas: int | None = None
    min_ctas: int | None = None
    net_name: str | None = None
    nvls_ctas: int | None = None
    split_share: int | None = None


@dataclass
class _Options:
    """What groups can be set to, of which the timeout counts: ProcessGroupNCCL.Options(is_high_priority_stream)."""

    is_high_priority_stream: bool = False
    config: _Config = field(default_factory=_Config)
    global_ranks_in_group: list[int] = field(default_factory=list)
    group_name: str = ""
    split_color: int = 0
    split_from: Any = None
    _timeout: timedelta | float = DEFAULT_TIMEOUT

    @property
    def backend(self) -> str:
        return "nccl"


class ProcessGroupNCCL(HandMadeGroup):
    """ProcessGroupNCCL(store, rank, size, timeout or options): a group of `size` ranks, who all make it. `store` is one
    that no other group has met in: wrap it in a PrefixStore.
    """

    Options = _Options
    NCCLConfig = _Config

    def __init__(self, store: Any, rank: int, size: int, options: _Options | timedelta | float | None = None):
        limit = seconds(options._timeout if isinstance(options, _Options) else options)
        super().__init__("nccl", store, rank, size, limit)
