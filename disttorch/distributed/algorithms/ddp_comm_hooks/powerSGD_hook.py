"""PowerSGD: gradients as matrices of low rank, with error feedback and a warm start.

Vogels et al., "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization" (2019), algorithm 1.
"""

import logging
import math
import operator
from typing import Any

import numpy as np

from ....autograd.variable import Tensor, wrap
from ....futures import Future
from ....ops import cat, randn
from ....random import Generator
from ...collectives import ReduceOp, all_reduce
from ...process_group import get_world_size, resolve
from .default_hooks import allreduce_hook

_log = logging.getLogger(__name__)


class PowerSGDState:
    """Settings and memory of `powerSGD_hook`.

    matrix_approximation_rank: r of the approximation P Qᵀ; start_powerSGD_iter: plain averaging before that step (the
    memory of errors needs gradients that have settled); min_compression_rate: tensors that would shrink less are
    averaged whole. compression_stats_logging_frequency: after how many steps what has been saved is logged again.
    """

    def __init__(
        self,
        process_group: Any,
        matrix_approximation_rank: int = 1,
        start_powerSGD_iter: int = 1000,
        min_compression_rate: float = 2,
        use_error_feedback: bool = True,
        warm_start: bool = True,
        orthogonalization_epsilon: float = 0,
        random_seed: int = 0,
        compression_stats_logging_frequency: int = 10000,
        batch_tensors_with_same_shape: bool = False,
    ):
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError(
                "Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled, because PowerSGD "
                "can only be applied after the first two iterations in DDP."
            )
        self.process_group, self.matrix_approximation_rank = process_group, matrix_approximation_rank
        self.start_powerSGD_iter, self.min_compression_rate = start_powerSGD_iter, min_compression_rate
        self.use_error_feedback, self.warm_start = use_error_feedback, warm_start
        self.orthogonalization_epsilon = orthogonalization_epsilon
        self.batch_tensors_with_same_shape = batch_tensors_with_same_shape
        self.rng = np.random.RandomState(random_seed)
        self.error_dict: dict[int, Tensor] = {}
        self.p_memory_dict: dict[int, list[Tensor]] = {}
        self.q_memory_dict: dict[int, list[Tensor]] = {}
        self.iter = 0
        self.total_numel_before_compression = self.total_numel_after_compression = 0
        self.compression_stats_logging_frequency = max(1, compression_stats_logging_frequency)
        self.next_stats_report = 0

    def __getstate__(self) -> dict[str, Any]:
        _log.warning("NOTE: Process group is not serializable and excluded from a saved state.")
        return {name: value for name, value in vars(self).items() if name != "process_group"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _log.warning("NOTE: Process group will be set to a default group (i.e. the world size).")
        vars(self).update(state, process_group=resolve(None))

    def compression_stats(self) -> tuple[float, int, int]:
        """(elements of the gradients over elements sent, the former, the latter), of all steps that compressed."""
        before, after = self.total_numel_before_compression, self.total_numel_after_compression
        return before / after if after else 0, before, after

    def count(self, bucket: Any, after: int) -> None:
        """One more bucket, of which `after` elements are sent."""
        self.total_numel_before_compression += bucket.buffer().numel()
        self.total_numel_after_compression += after
        step = self.iter - 1  # the last bucket has begun the next one
        if bucket.is_last() and step >= self.next_stats_report:
            rate, *totals = self.compression_stats()
            text = "Compression stats: iter %s, total before compression %s, total after compression %s, rate %s"
            _log.info(text, step, *totals, rate)
            self.next_stats_report = step + self.compression_stats_logging_frequency

    def rank_of(self, matrix: Tensor) -> int | None:
        """The rank at which a matrix (n, m) is sent, or None if that would not save enough."""
        n, m = matrix.shape
        r = min(n, m, self.matrix_approximation_rank)
        return r if (n + m) * r * self.min_compression_rate < n * m else None


def _orthonormal(p: Tensor, epsilon: float = 0) -> Tensor:
    """An orthonormal basis of the columns: the same on every rank, which all hold the same bits.

    epsilon is added to the norms of one or two columns, so that columns of zeros stay such.
    """
    basis = p._data.astype(np.float64)
    if epsilon and p.shape[1] <= 2:
        for i, column in enumerate(basis.T):
            column /= np.linalg.norm(column) + epsilon
            basis[:, i + 1 :] -= np.outer(column, column @ basis[:, i + 1 :])
    else:
        basis = np.linalg.qr(basis)[0]
    return wrap(np.ascontiguousarray(basis.astype(p._data.dtype)), p.device)


def _drawn(state: PowerSGDState, matrices: list[Tensor]) -> list[Tensor]:
    """Random starts (m, r) for matrices (n, m): PyTorch's, which draws for those of one shape together if asked."""
    generator = Generator().manual_seed(int(state.rng.randint(1_000_000_000)))
    alike: dict[tuple, list[int]] = {}
    for i, matrix in enumerate(matrices):
        alike.setdefault(tuple(matrix.shape), []).append(i)
    qs: dict[int, Tensor] = {}
    for (n, m), places in alike.items():
        size = len(places) if state.batch_tensors_with_same_shape else 1
        for start in range(0, len(places), size):
            shape = (size, m, min(n, m, state.matrix_approximation_rank))
            drawn = randn(*shape, generator=generator, dtype=matrices[0].dtype).to(matrices[0].device)
            qs.update(zip(places[start : start + size], drawn.unbind(), strict=True))
    return [qs[i] for i in range(len(matrices))]


def _average(tensors: list[Tensor], group: Any) -> list[Tensor]:
    """Tensors averaged over the ranks, in one message."""
    if not tensors:
        return []
    flat = cat([t.reshape(-1) for t in tensors])
    all_reduce(flat, ReduceOp.AVG, group)
    return [part.reshape(t.shape) for part, t in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)]


def _approximate(
    state: PowerSGDState, index: int, matrices: list[Tensor], whole: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The averages over the ranks of matrices, at low rank, and of tensors that travel as they are."""
    group = state.process_group
    warm = state.warm_start and index in state.q_memory_dict
    epsilon = state.orthogonalization_epsilon
    qs = [_orthonormal(q, epsilon) for q in (state.q_memory_dict[index] if warm else _drawn(state, matrices))]
    averaged = _average([*whole, *[m @ q for m, q in zip(matrices, qs, strict=True)]], group)
    ps = [_orthonormal(p, epsilon / get_world_size(group)) for p in averaged[len(whole) :]]  # PyTorch: of the sums
    qs = _average([m.t() @ p for m, p in zip(matrices, ps, strict=True)], group)
    if state.warm_start:
        state.p_memory_dict[index], state.q_memory_dict[index] = ps, qs
    return [p @ q.t() for p, q in zip(ps, qs, strict=True)], averaged[: len(whole)]


def _begin(state: PowerSGDState, bucket: Any) -> Tensor | None:
    """The bucket's buffer with the error of the last time added; None while buckets are averaged plainly."""
    warming = state.iter < state.start_powerSGD_iter
    state.iter += bucket.is_last()
    if warming:
        return None
    buffer = bucket.buffer()
    if state.use_error_feedback and bucket.index() in state.error_dict:
        buffer.add_(state.error_dict[bucket.index()])
    return buffer


def _done(buffer: Tensor) -> Future:
    done: Future = Future()
    done.set_result(buffer)
    return done


def powerSGD_hook(state: PowerSGDState, bucket: Any) -> Future:
    """The average of the ranks' buckets with large matrices approximated at low rank."""
    buffer, index = _begin(state, bucket), bucket.index()
    if buffer is None:
        return allreduce_hook(state.process_group, bucket)
    before = buffer.clone()
    gradients = bucket.gradients()
    small = {id(g) for g in gradients if g.dim() and state.rank_of(g.reshape(g.shape[0], -1))}
    compressed = [g for g in gradients if id(g) in small]
    whole = [g for g in gradients if id(g) not in small]
    ranks = [state.rank_of(g.reshape(g.shape[0], -1)) or 0 for g in compressed]
    sides = [g.shape[0] + g.numel() // g.shape[0] for g in compressed]
    state.count(bucket, sum(map(operator.mul, ranks, sides)) + sum(g.numel() for g in whole))
    approximated, averaged = _approximate(state, index, [g.reshape(g.shape[0], -1) for g in compressed], whole)
    for g, value in zip([*compressed, *whole], [*approximated, *averaged], strict=True):
        g.copy_(value.reshape(g.shape))
    if state.use_error_feedback:
        lost = before - buffer
        for g in whole:  # these lost nothing: what changed is the average
            start = (g._data.ctypes.data - buffer._data.ctypes.data) // g._data.itemsize
            lost[start : start + g.numel()] = 0
        state.error_dict[index] = lost
    return _done(buffer)


def batched_powerSGD_hook(state: PowerSGDState, bucket: Any) -> Future:
    """The average of the ranks' buckets, each approximated as one square matrix: faster, and less exact."""
    buffer, index = _begin(state, bucket), bucket.index()
    if buffer is None:
        return allreduce_hook(state.process_group, bucket)
    before = buffer.clone()
    side = math.isqrt(buffer.numel() - 1) + 1
    state.count(bucket, 2 * side * state.matrix_approximation_rank)
    square = cat([buffer, buffer.new_zeros(side * side - buffer.numel())]).reshape(side, side)
    (approximated,), _ = _approximate(state, index, [square], [])
    buffer.copy_(approximated.reshape(-1)[: buffer.numel()])
    if state.use_error_feedback:
        state.error_dict[index] = before - buffer
    return _done(buffer)
