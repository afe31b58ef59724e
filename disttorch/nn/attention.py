"""torch.nn.attention: which implementation scaled_dot_product_attention takes. Here there is one, whatever is asked."""

import contextlib
from collections.abc import Iterator
from enum import Enum


class SDPBackend(Enum):
    """PyTorch's implementations of attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[None]:
    """Nothing changes inside. AssertionError unless `backends` is a backend or a list of them."""
    asked = [backends] if isinstance(backends, SDPBackend) else backends
    text = f"Backend must be an instance of SDPBackend or a list of SDPBackend instances, got {backends!r}"
    assert isinstance(asked, list), text
    assert all(isinstance(one, SDPBackend) for one in asked), text
    yield
