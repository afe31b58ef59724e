"""What PyTorch computes, computed with more digits: the judge where its own result has lost some.

A single-precision result, or gradient, that is not PyTorch's is right if it is as near the exact one as PyTorch's.
"""

import functools

import mpmath
import numpy as np
import torch

WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}
SLACK = 4  # ours may be this much further from the exact result than PyTorch's: another order of summation
# PyTorch's float64 results of these have seven right digits just above 5, where one approximation ends.
FUNCTIONS = {
    "special.bessel_j0": lambda x: mpmath.besselj(0, x),
    "special.bessel_y1": lambda x: mpmath.bessely(1, x) if x >= 0 else mpmath.nan,
}


class Exact:
    """One sample of an op in double precision, computed when asked for."""

    def __init__(self, op, sample):
        self.op, self.sample = op, sample
        self.leaves: dict[int, torch.Tensor] = {}  # of the sample's tensors: their wide copies

    @functools.cached_property
    def outputs(self):
        """None where there is no such thing."""
        op, sample = self.op, self.sample
        if op.name in FUNCTIONS:
            function = np.vectorize(lambda x: float(FUNCTIONS[op.name](x)), otypes=[np.float64])
            return torch.from_numpy(np.asarray(function(sample.input.detach().double().numpy())))
        if not isinstance(sample.input, torch.Tensor) or sample.input.dtype not in WIDER:
            return None
        wide = sample.transform(self._widen)
        try:
            return sample.output_process_fn_grad(op.op(wide.input, *wide.args, **wide.kwargs))
        except (RuntimeError, ValueError, TypeError):
            return None  # not in double precision

    def _widen(self, value):
        if not isinstance(value, torch.Tensor) or value.dtype not in WIDER:
            return value
        if id(value) not in self.leaves:
            self.leaves[id(value)] = value.detach().to(WIDER[value.dtype]).requires_grad_(value.requires_grad)
        return self.leaves[id(value)]

    def gradients(self, outputs: list, inputs: list, cotangents: list) -> list:
        """As torch.autograd.grad gives them to the sample's own tensors `inputs`."""
        wide = [c.to(WIDER.get(c.dtype, c.dtype)) for c in cotangents]
        leaves = [self.leaves.get(id(t), t) for t in inputs]
        return list(torch.autograd.grad(outputs, leaves, wide, allow_unused=True, retain_graph=True))


def as_near(ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray) -> bool:
    """Whether ours is about as near the exact values, at worst, as theirs."""
    if ours.shape != exact.shape or not np.array_equal(np.isfinite(ours), np.isfinite(exact)):
        return False
    known = np.isfinite(exact)
    allowed = np.abs(theirs - exact)[known].max(initial=0) * SLACK
    return bool((np.abs(ours - exact)[known] <= allowed).all())
