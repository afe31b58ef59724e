"""One number or one per axis."""

from collections.abc import Iterable


def ntuple(n: int):
    """A function that makes a tuple of `n` equal entries of a number, and a tuple of a sequence."""

    def parse(x) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return parse


single, pair, triple, quadruple = (ntuple(n) for n in (1, 2, 3, 4))
_ntuple, _single, _pair, _triple, _quadruple = ntuple, single, pair, triple, quadruple  # PyTorch's names
