"""torch.jit.annotations: the names of types that scripted programs take from there."""

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035  PyTorch's names

__all__ = ["Any", "Dict", "List", "Optional", "Tuple", "Union"]
