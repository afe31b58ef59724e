"""Sums of rows that meet in one place: embedding gradients and `index_add`."""

from disttorch.kernels.portable.precision import in_float32


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
        self._add_rows(out, flat, rows)
        return out

    def index_add(self, target, indices, source):
        """target[indices[i]] += source[i] along axis 0, in place; equal indices add up in order of i."""
        if target.ndim == 1:
            self._add_rows(target[:, None], indices, source[:, None])
        else:
            self._add_rows(target, indices, source)

    def _add_rows(self, target, indices, rows):
        """Sort by index, sum each run with one reduceat, add the sums where they belong."""
        xp = self.xp
        if not indices.size:
            return
        order = xp.argsort(indices, kind="stable")
        indices = indices[order]
        starts = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), indices[1:] != indices[:-1]]))
        target[indices[starts]] += xp.add.reduceat(rows[order], starts, axis=0)
