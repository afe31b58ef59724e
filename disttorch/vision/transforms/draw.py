"""Random numbers for transforms, from disttorch's generator: `manual_seed` and the loader's workers govern them."""

import disttorch


def chance(p: float) -> bool:
    """True with probability `p`."""
    return disttorch.rand(1).item() < p


def uniform(low: float, high: float) -> float:
    return disttorch.empty(1).uniform_(low, high).item()


def integer(stop: int) -> int:
    """0 to `stop` - 1."""
    return disttorch.randint(0, stop, (1,)).item()
