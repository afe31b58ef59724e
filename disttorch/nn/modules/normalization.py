"""Normalisation within each sample: layer, group, root-mean-square and local response."""

from ...ops import empty
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .layer import layer
from .module import Module


@layer(show="{size}, alpha={alpha}, beta={beta}, k={k}")
def LocalResponseNorm(input, *, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha/size · sum of squares of `size` neighbouring channels)^beta: Krizhevsky et al. (2012)."""
    return F.local_response_norm(input, size, alpha, beta, k)


@layer(show="{size}, alpha={alpha}, beta={beta}, k={k}")
def CrossMapLRN2d(input, *, size, alpha=1e-4, beta=0.75, k=1):
    """LocalResponseNorm of pictures (N, C, H, W)."""
    return F.local_response_norm(input, size, alpha, beta, k)


class _Affine(Module):
    """A weight of ones and a bias of zeros of one shape, or neither."""

    def _make(self, shape, affine: bool, bias: bool, device, dtype):
        weight = Parameter(empty(*shape, device=device, dtype=dtype)) if affine else None
        self.register_parameter("weight", weight)
        if bias is not None:
            self.register_parameter(
                "bias", Parameter(empty(*shape, device=device, dtype=dtype)) if affine and bias else None
            )
        self.reset_parameters()

    def reset_parameters(self):
        """weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self._parameters.get("bias") is not None:
            init.zeros_(self.bias)


def _shape(normalized_shape) -> tuple:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(_Affine):
    """(x - mean) / sqrt(var + eps) · weight + bias over the last dimensions `normalized_shape`: Ba et al. (2016)."""

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape, self.eps, self.elementwise_affine = _shape(normalized_shape), eps, elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, bias, device, dtype)

    def forward(self, input):
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        affine, bias = self.elementwise_affine, self.bias is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}, bias={bias}"


class GroupNorm(_Affine):
    """Layer norm of each of `num_groups` groups of channels of (N, C, *): Wu and He (2018)."""

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, device=None, dtype=None, bias=True):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._make((num_channels,), affine, bias, device, dtype)

    def forward(self, input):
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        bias = self.bias is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={bias}"


class RMSNorm(_Affine):
    """x / sqrt(mean of squares + eps) · weight over the last dimensions: Zhang and Sennrich (2019). eps None: the
    dtype's.
    """

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape, self.eps, self.elementwise_affine = _shape(normalized_shape), eps, elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, None, device, dtype)

    def forward(self, x):
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
