"""The portable backend: the families of kernels put together over one array namespace."""

from disttorch.kernels.portable.activation import Activation
from disttorch.kernels.portable.attention import Attention
from disttorch.kernels.portable.convolution import Convolution
from disttorch.kernels.portable.copying import Copying
from disttorch.kernels.portable.encoder import Encoder
from disttorch.kernels.portable.linear import Linear
from disttorch.kernels.portable.loss import Loss
from disttorch.kernels.portable.normalization import Normalization
from disttorch.kernels.portable.pooling import Pooling
from disttorch.kernels.portable.recurrent import Recurrent
from disttorch.kernels.portable.resampling import Resampling
from disttorch.kernels.portable.scatter import Scatter
from disttorch.kernels.portable.updating import Updating


class Portable(
    Convolution,
    Pooling,
    Linear,
    Attention,
    Encoder,
    Normalization,
    Activation,
    Loss,
    Recurrent,
    Resampling,
    Scatter,
    Updating,
    Copying,
):
    """Every kernel over the array namespace `xp`.

    A faster backend subclasses this, overrides what it covers and calls `super()` for the rest.
    """

    name = "portable"

    def __init__(self, xp):
        self.xp = xp
