"""Operations on unusual tensors: in another order in memory, of no dimensions, of bytes, of 16 bits, with NaN."""

import math
import subprocess
import sys

import pytest

import disttorch
from disttorch.nn import functional


def drawn(function):
    disttorch.manual_seed(0)
    return function()


def test_random_numbers_go_where_the_elements_lie():
    x = disttorch.ones(3, 4)
    for dropout in (
        lambda t: functional.dropout(t, 0.5),
        lambda t: functional.alpha_dropout(t, 0.5, True),
        lambda t: functional.dropout(t * 1, 0.5, inplace=True),
    ):
        assert drawn(lambda: dropout(x.t())).tolist() == drawn(lambda: dropout(x)).t().tolist()
    images = disttorch.ones(2, 3, 4, 4).contiguous(memory_format=disttorch.channels_last)
    kept = drawn(lambda: functional.dropout(images, 0.5))
    assert (
        kept.permute(0, 2, 3, 1).tolist() == drawn(lambda: functional.dropout(disttorch.ones(2, 4, 4, 3), 0.5)).tolist()
    )
    weights = disttorch.full((8, 5), 0.2)
    assert drawn(lambda: disttorch.bernoulli(weights.t())).tolist() == (
        drawn(lambda: disttorch.bernoulli(weights.reshape(5, 8))).tolist()
    )


def test_tensors_of_no_dimensions():
    x = disttorch.tensor(1.5)
    assert disttorch.hstack([x, x]).tolist() == [1.5, 1.5]
    assert x.movedim(0, -1).item() == 1.5


def test_bytes_and_16_bits():
    assert disttorch.tensor([0, 200], dtype=disttorch.uint8).clamp(min=-1).tolist() == [255, 255]
    assert disttorch.vander(disttorch.tensor([200, 1], dtype=disttorch.uint8), 3).tolist() == [
        [40000, 200, 1],
        [1, 1, 1],
    ]
    x = disttorch.tensor([1.0, 0.5], dtype=disttorch.bfloat16)
    for function in (disttorch.deg2rad, disttorch.rad2deg, disttorch.sinc):
        assert function(x).dtype is disttorch.bfloat16
    with pytest.raises(NotImplementedError, match="\"bincount_cpu\" not implemented for 'Float'"):
        disttorch.ones(2).bincount()


def test_places_of_nan_and_of_other_dtypes():
    sequence = disttorch.tensor([0.0, 1.0, math.inf, math.nan])
    assert disttorch.searchsorted(sequence, disttorch.tensor([math.nan, 1.0])).tolist() == [4, 1]
    assert disttorch.bucketize(disttorch.tensor([1, -2, 3]), disttorch.tensor([0.0, 1.5])).tolist() == [1, 0, 2]


def test_gradient_gives_a_tuple():
    assert isinstance(disttorch.gradient(disttorch.arange(4.0)), tuple)


def test_arguments_have_pytorchs_names():
    x, v = disttorch.ones(2, 2), disttorch.ones(2)
    batch = x[None]
    assert disttorch.addbmm(x, batch1=batch, batch2=batch).tolist() == [[3, 3], [3, 3]]
    assert disttorch.baddbmm(batch, batch1=batch, batch2=batch).tolist() == [[[3, 3], [3, 3]]]
    assert disttorch.addmv(v, mat=x, vec=v, alpha=2).tolist() == [5, 5]
    assert disttorch.addr(x, vec1=v, vec2=v, beta=0).tolist() == [[1, 1], [1, 1]]
    assert x.swapaxes(axis0=0, axis1=1).shape == x.view(size=(2, 2)).shape == (2, 2)
    assert x.unflatten(dim=1, sizes=(2, 1)).shape == (2, 2, 1)
    assert len(disttorch.split_with_sizes(v, split_sizes=[1, 1])) == 2
    assert disttorch.promote_types(type1=disttorch.int8, type2=disttorch.uint8) is disttorch.int16


def test_heaviside_of_nan_is_0_and_dtypes_agree():
    x = disttorch.tensor([-1.0, 0.0, math.nan, 2.0])
    assert disttorch.heaviside(x, values=disttorch.tensor(0.5)).tolist() == [0, 0.5, 0, 1]
    with pytest.raises(RuntimeError, match="heaviside is not yet implemented for tensors with different dtypes"):
        disttorch.heaviside(x, disttorch.tensor(1))


def test_repeats_alone():
    assert disttorch.repeat_interleave(disttorch.tensor([1, 0, 2])).tolist() == [0, 2, 2]
    with pytest.raises(RuntimeError, match="stack expects a non-empty TensorList"):
        disttorch.stack([])
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 3"):
        disttorch.zeros(3).index_fill_(0, disttorch.tensor([5]), 1)


def test_numpy_warns_no_program_of_infinities():
    program = (
        "import disttorch as T\n"
        "big, inf = T.full((2, 2), 3e38), T.full((2,), float('inf'))\n"
        "big.square(), big @ big, inf - inf, inf * 0, inf.cumsum(0), T.lerp(inf, -inf, 0.5), big.half()\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
