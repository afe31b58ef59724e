"""Multi-worker tests in one line: a function on n ranks, each with an initialised default process group.

def body(rank):
    t = disttorch.ones(1) * rank
    disttorch.distributed.all_reduce(t)
    return t.item()

assert run_ranks(4, body) == [6.0] * 4
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..comm import testing
from ..random import own_generators
from ..utils.data.sampler import random_seed
from .groups import adopt
from .process_group import rank_scope, world


def run_ranks(
    n: int, fn: Callable, kind: str = "threads", *, timeout: float = 60.0, args: Sequence = (), **settings: Any
) -> list:
    """Run fn(rank, *args) on n ranks and return what each returned, by rank.

    kind: "threads" (in this process; the quickest), "processes" (of this host, over shared memory) or "tcp". For
    processes `fn` must be a module's function. timeout: seconds, after which all are stopped and DeadlineExceeded is
    raised. The first failing rank's error is raised here, with its traceback.

    Ranks draw random numbers each from default generators of its own, seeded with a number drawn here plus the rank:
    after the same `manual_seed` they do so alike in every run, as threads and as processes.
    """
    around = partial(_as_rank, random_seed())
    return testing.run_ranks(n, fn, kind, timeout=timeout, args=args, around=around, **settings)


def _as_rank(base: int, group: Any, fn: Callable, *args: Any) -> Any:
    with rank_scope(), own_generators((base + group.rank) % (1 << 64)):
        adopt(group)
        try:
            return fn(group.rank, *args)
        finally:
            world().default = None
