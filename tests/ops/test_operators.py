"""Python's operators between tensors and what is none: the other operand is asked, equality is False, NumPy's arrays
and functions work.
"""

import operator

import numpy as np
import pytest

import disttorch

vector = disttorch.tensor([1.0, 2.0])


class Other:
    def __radd__(self, other):
        return "added"

    def __rmatmul__(self, other):
        return "multiplied"

    def __rpow__(self, other):
        return "raised"


@pytest.mark.parametrize("other", [None, "a", [1.0, 2.0], object()], ids=["None", "str", "list", "object"])
def test_equality_with_what_is_no_tensor(other):
    assert (vector == other) is False
    assert (vector != other) is True
    with pytest.raises(TypeError, match=r"eq\(\): argument 'other' \(position 2\) must be Tensor"):
        vector.eq(other)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "lt"])
def test_python_complains_of_unknown_operands(name):
    function = getattr(operator, name)
    for pair in ((vector, None), (None, vector)):
        with pytest.raises(TypeError, match=r"^(unsupported operand type|'.' not supported between)"):
            function(*pair)


def test_the_other_operand_is_asked():
    assert (vector + Other(), vector @ Other(), vector ** Other()) == ("added", "multiplied", "raised")
    with disttorch.autocast("cpu"):
        assert vector @ Other() == "multiplied"


def test_numpys_arrays():
    assert (vector == np.array([1, 3])).tolist() == [True, False]
    assert (vector != np.array(1.0)).tolist() == [False, True]
    total = vector + np.array([1, 2])
    assert (total.dtype, total.tolist()) == (disttorch.float64, [2, 4])
    assert isinstance(np.sqrt(vector), disttorch.Tensor)
    with pytest.raises(TypeError, match="not supported between"):
        vector < np.array([1, 2])  # noqa: B015


@pytest.mark.parametrize("shape", [(3, 2, 2), (14,)])
def test_out_of_another_shape_keeps_its_memory(shape):
    whole = disttorch.zeros(shape)
    out = whole[:]
    with pytest.warns(UserWarning, match=r"was resized since it had shape \[.+\], which does not match .* \[3, 4\]"):
        disttorch.matmul(disttorch.ones(3, 1), disttorch.ones(1, 4), out=out)
    assert (out.shape, whole.sum().item()) == ((3, 4), 12)


def test_out_that_is_too_small_gets_memory_of_its_own():
    whole = disttorch.zeros(2)
    out = whole[:]
    with pytest.warns(UserWarning, match="was resized"):
        disttorch.add(disttorch.ones(3), 1, out=out)
    assert (out.tolist(), whole.tolist()) == ([2, 2, 2], [0, 0])
    empty = disttorch.empty(0)
    disttorch.add(disttorch.ones(3), 1, out=empty)
    assert empty.tolist() == [2, 2, 2]


@pytest.mark.parametrize("make", [disttorch.zeros, disttorch.randn, disttorch.eye])
def test_making_tensors_in_out_warns_of_nothing(make, recwarn):
    out = disttorch.ones(2)
    assert make(3, out=out) is out
    assert len(out) == 3
    assert not recwarn.list
