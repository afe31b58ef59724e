"""Whether all ranks have the same parameters: names, shapes and dtypes, and, if asked, the values' checksums."""

import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...autograd.variable import Tensor
from ...distributed.packing import host

VARIABLE = "DISTTORCH_CHECK_PARAMETERS"


def check_structure(comm: Any, named: Sequence[tuple[str, Tensor]]) -> None:
    """RuntimeError naming the first rank and parameter that differ from rank 0's in name, shape or dtype."""
    if comm.size == 1:
        return
    mine = [[name, list(p._data.shape), p._data.dtype.name] for name, p in named]
    everyone = comm.all_gather_object(mine)
    for rank, theirs in enumerate(everyone):
        if len(theirs) != len(everyone[0]):
            raise RuntimeError(
                f"DDP expects same model across all ranks, but Rank {rank} has {len(theirs)} params, while rank 0 has "
                f"inconsistent {len(everyone[0])} params."
            )
        for (name, shape, dtype), (name0, shape0, dtype0) in zip(theirs, everyone[0], strict=True):
            if (name, shape, dtype) != (name0, shape0, dtype0):
                raise RuntimeError(
                    f"DDP expects same model across all ranks, but rank {rank} has parameter {name} of shape {shape} "
                    f"and dtype {dtype} where rank 0 has {name0} of shape {shape0} and dtype {dtype0}."
                )


def interval_from(environ: Mapping[str, str]) -> int:
    """Every how many steps values are compared: DISTTORCH_CHECK_PARAMETERS, 0 (never) if not set.

    Raises ValueError for anything but a number from 0.
    """
    text = environ.get(VARIABLE, "0")
    if not text.isdecimal():
        raise ValueError(f"{VARIABLE} must be a number of steps from 0 (never), got {text!r}")
    return int(text)


class ValueCheck:
    """Compares the values of the parameters `named` over the ranks of a `comm.Group`, every `interval` steps."""

    def __init__(self, comm: Any, named: Sequence[tuple[str, Tensor]], interval: int | None = None):
        self._comm, self._named = comm, list(named)
        self._interval = interval_from(os.environ) if interval is None else interval
        self._steps = 0

    def step(self) -> None:
        """A step begins. Raises RuntimeError on every rank, naming the odd rank and parameter."""
        if self._interval and self._steps % self._interval == 0 and self._comm.size > 1:
            self._compare()
        self._steps += 1

    def _compare(self) -> None:
        mine = np.array([zlib.crc32(host(p).reshape(-1).view(np.uint8)) for _, p in self._named], np.uint32)
        everyone = [np.empty_like(mine) for _ in range(self._comm.size)]
        self._comm.all_gather(everyone, mine)
        odd = odd_ones(np.stack(everyone))
        if odd:
            (rank, index), more = odd[0], len({i for _, i in odd}) - 1
            raise RuntimeError(
                f"DDP expects the same parameters on all ranks, but rank {rank} has other values than most in "
                f"{self._named[index][0]}" + (f" and {more} more" if more else "") + f", before step {self._steps}."
            )


def odd_ones(checksums: np.ndarray) -> list[tuple[int, int]]:
    """(rank, parameter) wherever a rank's checksum is not the one that most ranks have (rank 0's, if as many have it).

    checksums: (ranks, parameters)
    """
    found = []
    for index in np.flatnonzero((checksums != checksums[0]).any(axis=0)):
        column = checksums[:, index].tolist()
        usual, _ = Counter(column).most_common(1)[0]  # of equally many the first
        found += [(rank, int(index)) for rank, value in enumerate(column) if value != usual]
    return found
