"""Convolution of few output channels, two neighbouring outputs at a time.

oneDNN gives each output a whole register, of which so few channels fill no more than half. Two neighbours of a row can
be read as one output of twice the channels: channels last they lie beside each other. Their kernel is one wider and
moves by two; its weights are those of the single output, and the same one place further on.

register: the floats that a register holds.
"""

from math import prod

import numpy as np

from disttorch.kernels.onednn.layouts import FLOAT, TO_CHANNELS_FIRST, TO_CHANNELS_LAST

# Kernel width from which the added column costs less than the second half of the register brings, and multiplications
# from which that pays for building the weights. Measured on a LeNet's layers and on 3x3 and 7x7 kernels.
WIDE, LARGE = 3, 1 << 21
FIRST_CHANNELS, LARGE_GRADIENT = 4, 1 << 15  # for the weights' gradient: input channels, elements of the output's


def worthwhile(y_shape, w_shape, geometry, register):
    """Whether to compute an output of this shape in pairs."""
    possible = _possible(y_shape, w_shape, geometry, register) and w_shape[-1] >= WIDE
    return possible and prod(y_shape) * prod(w_shape[1:]) >= LARGE


def worthwhile_for_weights(g, w_shape, geometry, register):
    """Whether to compute the weights' gradient from pairs of the output's gradient `g`."""
    possible = _possible(g.shape, w_shape, geometry, register) and w_shape[1] <= FIRST_CHANNELS
    return possible and g.size >= LARGE_GRADIENT and g.transpose(TO_CHANNELS_LAST[g.ndim]).flags.c_contiguous


def _possible(y_shape, w_shape, geometry, register):
    stride, _, dilation, groups = geometry
    fitting = 2 * w_shape[0] <= register and y_shape[-1] % 2 == 0
    return fitting and groups == 1 and stride[-1] == dilation[-1] == 1


def pair_shape(y_shape):
    n, c, *rows, width = y_shape
    return (n, 2 * c, *rows, width // 2)


def pair_geometry(geometry):
    stride, *others = geometry
    return ((*stride[:-1], 2), *others)


def pair_weights(w):
    """Weights (O, C, *K) -> (2 O, C, *K), the last axis one longer."""
    out, channels, *kernel = w.shape
    both = np.zeros((2, out, channels, *kernel[:-1], kernel[-1] + 1), FLOAT)
    both[0, ..., :-1] = w
    both[1, ..., 1:] = w
    return both.reshape(2 * out, *both.shape[2:])


def sum_of_halves(gw, into=None):
    """The gradient of `w` from that of `pair_weights(w)`."""
    half = len(gw) // 2
    return np.add(gw[:half, ..., :-1], gw[half:, ..., 1:], out=into)


def as_pairs(y):
    """(N, C, *S) -> (N, 2 C, *S), the last axis half as long; channels last in memory, where nothing moves."""
    n, c, *spatial = pair_shape(y.shape)
    return y.transpose(TO_CHANNELS_LAST[y.ndim]).reshape(n, *spatial, c).transpose(TO_CHANNELS_FIRST[y.ndim])


def as_singles(y):
    """The inverse of `as_pairs`."""
    n, c, *rows, width = y.shape
    last = y.transpose(TO_CHANNELS_LAST[y.ndim])
    return last.reshape(n, *rows, 2 * width, c // 2).transpose(TO_CHANNELS_FIRST[y.ndim])
