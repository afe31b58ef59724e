"""torch.testing: comparing tensors in tests."""

from .comparison import assert_allclose, assert_close, make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
