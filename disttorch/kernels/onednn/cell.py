"""A recurrent layer over sequences of equal length as one primitive: what an LSTM and a GRU share.

A plan's arrays come in the order x, first states, W_ih, W_hh, bias, y, last states and, in training, oneDNN's
workspace; backward's go on with the gradients of y, last states, x, first states, W_ih, W_hh and bias. `size` is
(T, N, I, H). Without training x, y, h and the weights may be bfloat16, the others are float32; the gradients in
bfloat16 are no quicker.
"""

from dataclasses import dataclass

import numpy as np

from disttorch.kernels.onednn import binding as dnnl
from disttorch.kernels.onednn.layouts import contiguous, kind_of
from disttorch.kernels.threads import threads_for

LEFT_TO_RIGHT, RIGHT_TO_LEFT = 1, 2  # dnnl_rnn_direction_t
OVERWRITE = 1  # dnnl_rnn_flags_diff_weights_overwrite: do not add to what the gradient held


@dataclass(frozen=True)
class Cell:
    """One kind of layer: oneDNN's name for it, the gates it stacks, its rows of bias, its states (h, or h and c)."""

    name: str
    gates: int
    biases: int
    states: int

    def forward(self, backend, size, reverse, training, *arrays):
        """Fill y and the last states; the workspace for backward if `training`. Raises Unsupported."""
        kind, workspace = dnnl.INFERENCE, None
        if training:
            kind, workspace = dnnl.TRAINING, np.empty(self._workspace_size(backend, size, reverse), np.uint8)
            arrays = *arrays, workspace
        key = (self.name, size, reverse, training)

        def build(plan):
            self._plan_forward(plan, size, reverse, kind)

        backend.engine.run(key, build, *arrays, work=self._work(size), kind=kind_of(arrays[0]))
        return workspace

    def backward(self, backend, size, reverse, *arrays):
        """Fill the gradients of x, the first states, the weights and the bias."""
        key = (f"{self.name}_backward", size, reverse)
        backend.engine.run(key, lambda plan: self._plan_backward(plan, size, reverse), *arrays, work=self._work(size))

    def _work(self, size):
        """Multiplications of one time step."""
        _, n, i, h = size
        return n * (i + h) * self.gates * h

    def _workspace_size(self, backend, size, reverse):
        key = (self.name, size, reverse, threads_for(self._work(size)))
        if key not in backend._sizes:
            plan = backend.engine.new_plan(self._work(size))
            desc = self._describe(plan, _Layouts(self, plan, size), reverse, dnnl.TRAINING)
            backend._sizes[key] = plan.size(plan.wanted(desc, dnnl.QUERY_WORKSPACE))
        return backend._sizes[key]

    def _describe(self, plan, layouts, reverse, kind):
        direction = RIGHT_TO_LEFT if reverse else LEFT_TO_RIGHT
        return plan.describe(f"{self.name}_forward", kind, direction, *layouts.arguments, 0)

    def _forward_arrays(self, plan, layouts, forward, desc):
        """The arrays of a forward pass, weights in the layouts that `desc` wants."""
        arrays = _numbered(dnnl.SRC, plan, layouts.given)
        weights = [plan.array(layout) for layout in layouts.weights]
        for k, w in enumerate(weights):
            arrays[dnnl.WEIGHTS + k] = plan.input(w, desc, dnnl.QUERY_WEIGHTS, k)
        arrays[dnnl.BIAS] = plan.array(layouts.bias)
        arrays |= _numbered(dnnl.DST, plan, layouts.made)
        workspace = plan.wanted(forward, dnnl.QUERY_WORKSPACE)
        if workspace and plan.size(workspace):
            arrays[dnnl.WORKSPACE] = plan.array(workspace)
        return arrays

    def _plan_forward(self, plan, size, reverse, kind):
        layouts = _Layouts(self, plan, size)
        desc = self._describe(plan, layouts, reverse, kind)
        plan.step(desc, self._forward_arrays(plan, layouts, desc, desc))

    def _plan_backward(self, plan, size, reverse):
        layouts = _Layouts(self, plan, size)
        forward = self._describe(plan, layouts, reverse, dnnl.TRAINING)
        direction = RIGHT_TO_LEFT if reverse else LEFT_TO_RIGHT
        described = (*layouts.arguments, *layouts.arguments, OVERWRITE, forward)
        desc = plan.describe(f"{self.name}_backward", dnnl.BACKWARD, direction, *described)
        arrays = self._forward_arrays(plan, layouts, forward, desc)
        arrays |= _numbered(dnnl.DIFF_DST, plan, layouts.made) | _numbered(dnnl.DIFF_SRC, plan, layouts.given)
        targets = [plan.array(layout) for layout in layouts.weights]
        for k, target in enumerate(targets):
            arrays[dnnl.DIFF_WEIGHTS + k] = plan.output(target, desc, dnnl.QUERY_DIFF_WEIGHTS, k)
        arrays[dnnl.DIFF_BIAS] = plan.array(layouts.bias)
        plan.step(desc, arrays)
        for k, target in enumerate(targets):
            plan.finish(arrays[dnnl.DIFF_WEIGHTS + k], target)


class _Layouts:
    """The layouts of a layer's arrays: plain ones as PyTorch has them, free ones for the weights."""

    def __init__(self, cell, plan, size):
        t, n, i, h = size

        def plain(*shape, kind=None):
            return plan.layout(shape, contiguous(shape), kind)

        g, states = cell.gates, (plain(1, 1, n, h), plain(1, 1, n, h, kind=dnnl.F32))[: cell.states]
        self.given, self.made = (plain(t, n, i), *states), (plain(t, n, h), *states)
        self.bias = plain(1, 1, cell.biases, h, kind=dnnl.F32)
        # PyTorch's (gates * H, I), seen as oneDNN's (layers, directions, I, gates, H)
        self.weights = [plan.layout((1, 1, k, g, h), (g * h * k, g * h * k, 1, h * k, k)) for k in (i, h)]
        free = [plan.layout((1, 1, k, g, h)) for k in (i, h)]
        absent = (None, None) if cell.name == "lstm" else ()  # no peephole, no projection
        self.arguments = (*self.given, *free, *absent, self.bias, *self.made)  # in the order of the descriptors


def _numbered(first, plan, layouts):
    """Arguments with neighbouring numbers: SRC, SRC_1, SRC_2 and the like."""
    return {first + k: plan.array(layout) for k, layout in enumerate(layouts)}


def dense(batch_sizes, kind, *arrays):
    """Whether all sequences are equally long and all arrays of this dtype, with elements."""
    equal = batch_sizes[0] == batch_sizes[-1]  # they never increase
    return equal and all([a.dtype is kind and a.size for a in arrays])
