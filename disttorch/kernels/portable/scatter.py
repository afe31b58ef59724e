"""Sums of rows that meet in one place: embedding gradients and `index_add`."""

from disttorch.kernels.portable.precision import in_float32

ROUNDS = 8


class Scatter:
    @in_float32
    def embedding_backward(self, g, indices, num_embeddings, padding_idx=None):
        """g (*, D), indices int (*) -> (num_embeddings, D)."""
        xp = self.xp
        width = g.shape[-1]
        flat = indices.reshape(-1)
        rows = g.reshape(flat.size, width)
        if padding_idx is not None:
            kept = flat != padding_idx
            flat, rows = flat[kept], rows[kept]
        out = xp.zeros((num_embeddings, width), g.dtype)
        self._add_rows(out, flat, rows, empty=True)
        return out

    def index_add(self, target, indices, source):
        """target[indices[i]] += source[i] along axis 0, in place; the order of summation depends on `indices` alone."""
        if target.ndim == 1:
            self._add_rows(target[:, None], indices, source[:, None])
        else:
            self._add_rows(target, indices, source)

    def _add_rows(self, target, indices, rows, empty=False):
        """The r-th occurrences of all indices are distinct, so each such round is one gather, one add, one scatter.

        The few indices that occur more often than ROUNDS times are summed one by one. empty: target is all zeros, to
        which the first round need not add.
        """
        xp = self.xp
        if not indices.size:
            return
        keys = indices.astype(xp.uint16) if len(target) <= 1 << 16 else indices  # 16 bits are sorted by their digits
        order = xp.argsort(keys, kind="stable")
        ordered = indices[order]
        starts = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), ordered[1:] != ordered[:-1]]))
        counts = xp.diff(starts, append=indices.size)
        if empty:
            target[ordered[starts]] = rows.take(order[starts], axis=0)
            starts, counts = starts + 1, counts - 1
        frequent = counts > ROUNDS
        for start, count in zip(starts[frequent].tolist(), counts[frequent].tolist(), strict=True):
            target[int(ordered[start])] += rows[order[start : start + count]].sum(axis=0)
        starts, counts = starts[~frequent], counts[~frequent]
        for occurrence in range(int(counts.max(initial=0))):
            places = starts[counts > occurrence] + occurrence
            target[ordered[places]] += rows[order[places]]
