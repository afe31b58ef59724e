"""Running sums and products along dimensions whose steps are long, short, or empty: one element after another."""

import numpy as np
import pytest

import disttorch as torch

PLACES = [
    ((4, 300), 0), ((5, 3, 300), 1), ((2, 40, 200), 1), ((4, 300), 1), ((0, 300), 0), ((3, 0), 0), ((3, 0), 1),
    ((0,), 0), ((300, 120), 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "ufunc"), [("cumsum", np.add), ("cumprod", np.multiply)])
@pytest.mark.parametrize(("shape", "dim"), PLACES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32])
def test_any_dimension(name, ufunc, shape, dim, dtype):
    x = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 2.5, shape)).to(dtype)
    found = getattr(x, name)(dim).numpy()
    with np.errstate(over="ignore"):
        exact = ufunc.accumulate(x.numpy(), axis=dim, dtype=found.dtype)
    np.testing.assert_array_equal(found, exact)


def test_what_overflows_is_infinite():
    found = torch.full((3, 300), 1e30).cumprod(0)
    assert found[0].isfinite().all()
    assert found[1:].isinf().all()
