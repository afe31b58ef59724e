"""One number or one per axis; keys of a state_dict without a prefix."""

from collections.abc import Iterable, MutableMapping
from typing import Any


def ntuple(n: int):
    """A function that makes a tuple of `n` equal entries of a number, and a tuple of a sequence."""

    def parse(x) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return parse


single, pair, triple, quadruple = (ntuple(n) for n in (1, 2, 3, 4))
_ntuple, _single, _pair, _triple, _quadruple = ntuple, single, pair, triple, quadruple  # PyTorch's names


def consume_prefix_in_state_dict_if_present(state_dict: MutableMapping[str, Any], prefix: str) -> None:
    """Take `prefix` ("module." of a DistributedDataParallel model) off the keys that begin with it, in place."""
    for key in list(state_dict):
        if key.startswith(prefix):
            state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    for key in list(metadata or ()):
        if key.startswith(prefix) or key == prefix.removesuffix("."):
            metadata[key[len(prefix) :]] = metadata.pop(key)
