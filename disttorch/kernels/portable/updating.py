"""What optimizers do to arrays, in place."""

from disttorch.kernels import blas


class Updating:
    def add_scaled(self, y, a, x):
        """y += a * x for arrays of one shape; in float32 the product is not rounded before it is added."""
        blas.add_scaled(y, a, x)

    def decay_and_add(self, y, a, x):
        """y = a * y + x for arrays of one shape, each operation rounded."""
        blas.decay_and_add(y, a, x)
