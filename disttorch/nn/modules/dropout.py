"""Dropout: in training some values are set to zero at random, and the others made larger to keep the mean."""

from .. import functional as F
from .layer import layer
from .module import Module


class _DropoutNd(Module):
    """`p` is the probability of a zero."""


def _check(values: dict):
    if not 0 <= values["p"] <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {values['p']}")


_dropout = {"base": _DropoutNd, "prepare": _check, "show": "p, inplace"}


@layer(**_dropout)
def Dropout(input, *, training, p=0.5, inplace=False):
    """Each value is zero with probability `p`: Hinton et al. (2012)."""
    return F.dropout(input, p, training, inplace)


@layer(**_dropout)
def Dropout1d(input, *, training, p=0.5, inplace=False):
    """Each channel of (N, C, L) or (C, L) is zero with probability `p`."""
    return F.dropout1d(input, p, training, inplace)


@layer(**_dropout)
def Dropout2d(input, *, training, p=0.5, inplace=False):
    """Each channel of (N, C, H, W) is zero with probability `p`: Tompson et al. (2015)."""
    return F.dropout2d(input, p, training, inplace)


@layer(**_dropout)
def Dropout3d(input, *, training, p=0.5, inplace=False):
    """Each channel of (N, C, D, H, W) is zero with probability `p`."""
    return F.dropout3d(input, p, training, inplace)


@layer(**_dropout)
def AlphaDropout(input, *, training, p=0.5, inplace=False):
    """Dropout that keeps mean and variance after SELU: Klambauer et al. (2017)."""
    return F.alpha_dropout(input, p, training, inplace)


@layer(**_dropout)
def FeatureAlphaDropout(input, *, training, p=0.5, inplace=False):
    """AlphaDropout of whole channels."""
    return F.feature_alpha_dropout(input, p, training, inplace)
