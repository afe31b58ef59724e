"""What optimizers do to arrays, in place. The formulas hold for whatever can be added and multiplied."""

import numpy as np

from disttorch.kernels import blas


class Updating:
    add_scaled = staticmethod(blas.add_scaled)
    decay_and_add = staticmethod(blas.decay_and_add)

    def lerp(self, a, b, weight):
        difference = b - a
        if abs(weight) < 0.5:
            difference *= weight
            a += difference
        else:  # exact at this end, too
            difference *= 1 - weight
            np.subtract(b, difference, out=a)

    def average_square(self, average, g, decay):
        average *= decay
        square = g * g
        square *= 1 - decay
        average += square

    def descend(self, p, g, square, eps, size):
        change = np.sqrt(square)
        change += eps
        np.divide(g, change, out=change)
        change *= size
        p -= change
