"""PyTorch's files of layers that are other files here: torch.nn.modules.sparse.Embedding is found."""

import sys

from . import activation, attention, batchnorm, embedding, shaping

PLACES = {
    "sparse": embedding, "instancenorm": batchnorm, "distance": shaping, "flatten": shaping, "fold": shaping,
    "channelshuffle": shaping, "pixelshuffle": shaping, "upsampling": shaping,
}  # fmt: skip
for name, module in PLACES.items():
    sys.modules[f"{__package__}.{name}"] = module
    setattr(sys.modules[__package__], name, module)
activation.MultiheadAttention = attention.MultiheadAttention
