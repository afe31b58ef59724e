"""What is no tensor is refused by name, with PyTorch's text."""

import numpy as np
import pytest

import disttorch

NAMES = """
sum prod mean amax amin aminmax argmax argmin reshape flatten squeeze permute t clone conj sort unique nonzero flip
diagonal diag tril triu trace is_complex is_floating_point real imag view_as_real view_as_complex diff cov unbind relu
max exp matmul
""".split()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [[1.0, 2.0], np.ones(2)], ids=["list", "ndarray"])
def test_what_is_no_tensor_is_named(name, value):
    more = {"matmul": [disttorch.ones(2)], "flip": [[0]], "permute": [(0,)], "reshape": [(1, 2)]}.get(name, [])
    text = rf"^{name}\(\): argument 'input' \(position 1\) must be Tensor, not {type(value).__name__}$"
    with pytest.raises(TypeError, match=text):
        getattr(disttorch, name)(value, *more)
