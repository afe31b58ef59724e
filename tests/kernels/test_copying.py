"""Copies in the order in which an array is read, whatever its own order."""

import numpy as np
import pytest

VIEWS = {
    "turned": ((70, 90), lambda x: x.T),
    "channels last": ((2, 33, 10, 12), lambda x: x.transpose(0, 2, 3, 1)),
    "channels first": ((2, 10, 12, 33), lambda x: x.transpose(0, 3, 1, 2)),
    "patches": ((2, 3, 4, 8, 5, 8), lambda x: x.transpose(0, 2, 4, 3, 5, 1)),
    "backwards": ((70, 90), lambda x: x.T[::-1]),
    "repeated": ((70, 1), lambda x: np.broadcast_to(x, (70, 90)).T),
    "every second": ((140, 90), lambda x: x.T[:, ::2]),
    "axes of one": ((1, 70, 1, 90), lambda x: x.transpose(3, 0, 2, 1)),
    "few": ((3, 4), lambda x: x.T),
    "no elements": ((0, 90), lambda x: x.T),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_a_copy_in_order(kernels, rng, name, dtype):
    shape, view = VIEWS[name]
    x = view((rng.random(shape) * 100).astype(dtype))
    found = kernels.contiguous_copy(x)
    assert found.flags.c_contiguous
    assert found.dtype == dtype
    assert not np.shares_memory(found, x)
    np.testing.assert_array_equal(found, x)


def test_any_bits(kernels, rng):
    x = rng.integers(0, 2**32, (80, 90), dtype=np.uint64).astype(np.uint32).view(np.float32).T
    np.testing.assert_array_equal(kernels.contiguous_copy(x).view(np.uint32), np.ascontiguousarray(x).view(np.uint32))
