"""Optimizer steps over lists of arrays, in place, each array in blocks that stay in the cache between operations.

Every array of a list must be contiguous. The formulas and their order of rounding are PyTorch's single-tensor ones.
"""

from math import sqrt

# Elements per block: four or five arrays of 64 KB blocks fit a 512 KB second-level cache.
BLOCK = 1 << 14


class Optimizer:
    def sgd_step(
        self, params, grads, buffers, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
        maximize=False, first=False,
    ):  # fmt: skip
        """buffers: momentum buffers or None; `first`: they hold nothing yet and are filled with the gradient."""
        xp = self.xp
        for i, param in enumerate(params):
            arrays = [param, grads[i]] if not momentum else [param, grads[i], buffers[i]]
            for p, d, *buffer in self._blocks(arrays):
                if maximize:
                    d = -d
                if weight_decay:
                    d = d + weight_decay * p
                if momentum:
                    b = buffer[0]
                    if first:
                        b[...] = d
                    else:
                        b *= momentum
                        b += d if not dampening else (1 - dampening) * d
                    d = d + momentum * b if nesterov else b
                xp.subtract(p, lr * d, out=p)

    def adam_step(
        self, params, grads, exp_avgs, exp_avg_sqs, step, lr, beta1, beta2, eps, weight_decay=0.0,
        decoupled=False, max_exp_avg_sqs=None, maximize=False,
    ):  # fmt: skip
        """Kingma and Ba (2015); `decoupled`: AdamW (Loshchilov and Hutter, 2019); `max_exp_avg_sqs`: AMSGrad."""
        xp = self.xp
        step_size = lr / (1 - beta1**step)
        root = sqrt(1 - beta2**step)
        for i, param in enumerate(params):
            arrays = [param, grads[i], exp_avgs[i], exp_avg_sqs[i]]
            if max_exp_avg_sqs is not None:
                arrays.append(max_exp_avg_sqs[i])
            for p, g, m, v, *largest in self._blocks(arrays):
                if maximize:
                    g = -g
                if weight_decay and decoupled:
                    p *= 1 - lr * weight_decay
                elif weight_decay:
                    g = g + weight_decay * p
                m += (g - m) * (1 - beta1)
                v *= beta2
                square = g * g
                square *= 1 - beta2
                v += square
                if largest:
                    xp.maximum(largest[0], v, out=largest[0])
                denominator = xp.sqrt(largest[0] if largest else v)
                denominator /= root
                denominator += eps
                xp.divide(m, denominator, out=denominator)
                denominator *= step_size
                p -= denominator

    def _blocks(self, arrays):
        """The arrays, cut into corresponding flat blocks."""
        size = arrays[0].size
        if size <= BLOCK or self.xp.__name__ == "cupy":
            return [arrays]
        flat = [a.reshape(-1) for a in arrays]
        return ([a[i : i + BLOCK] for a in flat] for i in range(0, size, BLOCK))
