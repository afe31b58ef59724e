"""The CPU backend: oneDNN where it covers a call, the portable kernels for the rest."""

import numpy as np

from disttorch.kernels import threads
from disttorch.kernels.onednn import binding
from disttorch.kernels.onednn.activation import Activation
from disttorch.kernels.onednn.attention import Attention
from disttorch.kernels.onednn.batches import BatchNorm
from disttorch.kernels.onednn.combining import Combining
from disttorch.kernels.onednn.convolution import Convolution
from disttorch.kernels.onednn.copying import Copying
from disttorch.kernels.onednn.encoder import Encoder
from disttorch.kernels.onednn.error_function import ErrorFunction
from disttorch.kernels.onednn.groups import GroupNorm
from disttorch.kernels.onednn.gru import GRU
from disttorch.kernels.onednn.linear import Linear
from disttorch.kernels.onednn.normalization import LayerNorm
from disttorch.kernels.onednn.plan import Engine
from disttorch.kernels.onednn.pooling import Pooling
from disttorch.kernels.onednn.recurrent import Recurrent
from disttorch.kernels.onednn.resampling import Resampling
from disttorch.kernels.onednn.softmax import Softmax
from disttorch.kernels.onednn.updating import Updating
from disttorch.kernels.portable import Portable, precision


class OneDNN(
    Convolution,
    Pooling,
    Linear,
    Attention,
    Encoder,
    BatchNorm,
    LayerNorm,
    Softmax,
    GroupNorm,
    Activation,
    Combining,
    ErrorFunction,
    Recurrent,
    GRU,
    Resampling,
    Updating,
    Copying,
    Portable,
):
    name = "onednn"

    def __init__(self, lib):
        super().__init__(np)
        self.engine = Engine(lib)
        self._sizes = {}  # of the buffers in layouts of oneDNN's own, by problem


def load():
    """The backend, or None where libdnnl or libgomp is missing."""
    lib = binding.load()
    if lib is None:
        return None
    threads.use_openmp()
    backend = OneDNN(lib)
    if backend.engine.converts_bfloat16:
        precision.convert_by(backend.converted)
    return backend
