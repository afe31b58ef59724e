"""Layers that only move values: flatten, fold, shuffle, resize; and the distances between two inputs."""

from .. import functional as F
from .layer import layer
from .module import Module


@layer
def Flatten(input, *, start_dim=1, end_dim=-1):
    """Dimensions `start_dim` to `end_dim` as one."""
    return input.flatten(start_dim, end_dim)


def _check_unflatten(values: dict):
    size = values["unflattened_size"]
    if not isinstance(size, list | tuple) or not all(isinstance(n, int) for n in size):
        named = isinstance(size, list | tuple) and all(isinstance(n, tuple) for n in size)
        if not named:
            raise TypeError(
                f"unflattened_size must be a tuple of ints, but found type {type(size).__name__}"
                if not isinstance(size, list | tuple)
                else "unflattened_size must be tuple of ints, but found element of type "
                + next(f"{type(n).__name__} at pos {i}" for i, n in enumerate(size) if not isinstance(n, int))
            )
        values["unflattened_size"] = tuple(n for _, n in size)


@layer(prepare=_check_unflatten)
def Unflatten(input, *, dim, unflattened_size):
    """Dimension `dim` as several, of the sizes given."""
    return input.unflatten(dim, unflattened_size)


@layer(show="output_size, kernel_size, dilation, padding, stride")
def Fold(input, *, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The sum of windows (N, C·KH·KW, windows) into a picture (N, C, *output_size)."""
    return F.fold(input, output_size, kernel_size, dilation, padding, stride)


@layer
def Unfold(input, *, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of a picture (N, C, H, W) as columns (N, C·KH·KW, windows)."""
    return F.unfold(input, kernel_size, dilation, padding, stride)


@layer
def PixelShuffle(input, *, upscale_factor):
    """(*, C·r², H, W) -> (*, C, H·r, W·r): Shi et al. (2016)."""
    return F.pixel_shuffle(input, upscale_factor)


@layer
def PixelUnshuffle(input, *, downscale_factor):
    """(*, C, H·r, W·r) -> (*, C·r², H, W), the inverse of PixelShuffle."""
    return F.pixel_unshuffle(input, downscale_factor)


@layer
def ChannelShuffle(input, *, groups):
    """The channels of (N, C, *) in the order that mixes `groups` groups: Zhang et al. (2017)."""
    return F.channel_shuffle(input, groups)


class Upsample(Module):
    """Signals, pictures or volumes enlarged to `size` or by `scale_factor`; see F.interpolate for the modes."""

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(float(s) for s in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode, self.align_corners, self.recompute_scale_factor = mode, align_corners, recompute_scale_factor

    def forward(self, input):
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self):
        by = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{by}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Pictures (N, C, H, W) enlarged, each pixel from the nearest."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Pictures (N, C, H, W) enlarged, pixels between four mixed; the corners stay corners."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


@layer(show="")
def CosineSimilarity(x1, x2, *, dim=1, eps=1e-8):
    """x1·x2 / (|x1| |x2|) along `dim`, with norms of at least `eps`."""
    return F.cosine_similarity(x1, x2, dim, eps)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps over the last dimension."""

    def __init__(self, p=2.0, eps=1e-6, keepdim=False):
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1, x2):
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
