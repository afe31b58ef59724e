"""Multi-worker tests in one line: a function on n ranks, each with an initialised default process group.

def body(rank):
    t = disttorch.ones(1) * rank
    disttorch.distributed.all_reduce(t)
    return t.item()

assert run_ranks(4, body) == [6.0] * 4
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..comm import testing
from .groups import adopt
from .process_group import rank_scope, world


def run_ranks(
    n: int, fn: Callable, kind: str = "threads", *, timeout: float = 60.0, args: Sequence = (), **settings: Any
) -> list:
    """Run fn(rank, *args) on n ranks and return what each returned, by rank.

    kind: "threads" (in this process; the quickest), "processes" (of this host, over shared memory) or "tcp". For
    processes `fn` must be a module's function. timeout: seconds, after which all are stopped and DeadlineExceeded is
    raised. The first failing rank's error is raised here, with its traceback.
    """
    return testing.run_ranks(n, fn, kind, timeout=timeout, args=args, around=_as_rank, **settings)


def _as_rank(group: Any, fn: Callable, *args: Any) -> Any:
    with rank_scope():
        adopt(group)
        try:
            return fn(group.rank, *args)
        finally:
            world().default = None
