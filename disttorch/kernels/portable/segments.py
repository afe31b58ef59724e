"""Which rows meet in one place, and their sums.

NumPy takes microseconds to begin an operation, so that places are not summed one by one: the k-th rows of all places
are added at once (a layer), and what a few places have beyond that, place by place.
"""

from typing import Any, NamedTuple

import numpy as np

KEPT, LONGEST = 4, 1 << 18  # segments that are kept for the next call, each of so many indices at most: 4 MB


class Segments(NamedTuple):
    """The rows of each place that some row goes to; places where most rows meet come first.

    places: int (n,); layers: for each k the k-th rows of the first places, int (at most n,); rest: for the first
    places the rows that no layer has.
    """

    places: Any
    layers: list
    rest: list

    def add_to(self, target, rows, empty=False):
        """target[place] += the sum of its rows, for every place. empty: target is all zeros, which are not read."""
        total = rows.take(self.layers[0], axis=0)
        for layer in self.layers[1:]:
            total[: len(layer)] += rows.take(layer, axis=0)
        for i, others in enumerate(self.rest):
            total[i] += rows[others].sum(axis=0)
        if not empty:
            total += target.take(self.places, axis=0)
        target[self.places] = total


def find_segments(xp, indices, size):
    """The segments of rows that go to `indices`, int (m,) from 0 to size - 1, m > 0."""
    keys = indices.astype(xp.uint16) if size <= 1 << 16 else indices  # 16 bits are sorted by their digits
    order = xp.argsort(keys, kind="stable")
    ordered = indices[order]
    starts = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), ordered[1:] != ordered[:-1]]))
    counts = xp.diff(starts, append=indices.size)
    most = xp.argsort(-counts, kind="stable")
    starts, counts = starts[most], counts[most]
    layers, rest = [order[starts]], []
    longer = xp.bincount(counts)[::-1].cumsum()[::-1]  # how many places have as many rows and more
    for k, n in enumerate(longer[2:].tolist(), 1):
        if n <= k:
            rest = [order[i + k : i + m] for i, m in zip(starts[:n].tolist(), counts[:n].tolist(), strict=True)]
            break
        layers.append(order[starts[:n] + k])
    return Segments(ordered[starts], layers, rest)


class RecentSegments:
    """`find_segments` that knows the indices that came last again: a graph's edges are the same in every layer."""

    def __init__(self):
        self._recent: list[tuple[np.ndarray, int, Segments]] = []

    def __call__(self, xp, indices, size):
        if not isinstance(indices, np.ndarray) or indices.size > LONGEST:
            return find_segments(xp, indices, size)
        recent = self._recent
        for known in recent:
            if known[1] == size and np.array_equal(known[0], indices):
                break
        else:
            known = (indices.copy(), size, find_segments(xp, indices, size))
        self._recent = [known, *[other for other in recent if other is not known][: KEPT - 1]]
        return known[2]
