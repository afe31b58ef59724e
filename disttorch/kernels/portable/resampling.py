"""Resizing of pictures, where something betters the formulas that operations have for any kind of it."""


class Resampling:
    def resample_forward(self, x, size, linear):
        return None

    def resample_backward(self, g, x_shape, linear):
        """To the nearest element: the sums of the elements that were made of one."""
        if linear:
            return None
        samples, channels, height, width = x_shape
        rows = g.reshape(samples * channels * height, -1, g.shape[3])
        elements = _summed(rows).reshape(samples * channels * height * width, -1, 1)
        return _summed(elements).reshape(x_shape)


def _summed(x):
    """(M, K, P) -> (M, P), one after the other: K is small, and NumPy would start anew for each of the M."""
    y = x[:, 0].copy()
    for k in range(1, x.shape[1]):
        y += x[:, k]
    return y
