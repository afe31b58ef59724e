"""What optimizers do to arrays, in place."""

from disttorch.kernels import blas


class Updating:
    add_scaled = staticmethod(blas.add_scaled)
    decay_and_add = staticmethod(blas.decay_and_add)
