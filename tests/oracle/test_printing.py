"""Random tensors printed beside PyTorch."""

import random
import warnings

import numpy as np
import pytest

import disttorch
from disttorch.printing import printoptions, tensor_repr

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 uint8 int8 bool complex64 complex128".split()
SHAPES = [(1001,), (30, 40), (3, 400), (400, 3), (2, 2, 300), (11, 11, 11), (1000, 2), (7, 200)]
SCALES = [-6, -5, -3, -1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 7, 9]
OPTIONS = {
    "precision": [None, 0, 2, 8], "threshold": [None, 5, 50], "edgeitems": [None, 1, 2], "linewidth": [None, 40, 120],
    "sci_mode": [None, True, False],
}  # fmt: skip


def some_array(pick: random.Random, dtype: str) -> np.ndarray:
    rng = np.random.default_rng(pick.randrange(2**32))
    shape = tuple(pick.choice([0, 1, 2, 3, 5, 7, 12, 40]) for _ in range(pick.choice([0, 1, 1, 2, 2, 3, 4])))
    if pick.random() < 0.1 or np.prod(shape) > 10000:
        shape = pick.choice(SHAPES)
    a = np.asarray(rng.standard_normal(shape) * 10.0 ** pick.choice(SCALES))
    if pick.random() < 0.3:
        a = np.round(a)
    if pick.random() < 0.2:
        a = a * 10.0 ** rng.integers(-4, 4, shape)
    if a.size and pick.random() < 0.3:
        a = a.reshape(-1).copy()
        for value in (np.nan, np.inf, -np.inf, 0.0, -0.0):
            if pick.random() < 0.5:
                a[pick.randrange(a.size)] = value
        a = a.reshape(shape)
    if dtype.startswith("complex"):
        return a + 1j * rng.standard_normal(shape) * 10.0 ** pick.choice([-5, 0, 3])
    return a if "float" in dtype else np.round(np.nan_to_num(a, posinf=3, neginf=-3).clip(-1e9, 1e9))


@pytest.mark.parametrize("seed", range(8))
def test_random_tensors(seed):
    pick = random.Random(seed)
    for _ in range(60):
        dtype = pick.choice(DTYPES)
        array = some_array(pick, dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # overflow in casts
            theirs, ours = (lib.tensor(array).to(getattr(lib, dtype)) for lib in (torch, disttorch))
        if dtype in ("float32", "float64") and pick.random() < 0.3:
            theirs.requires_grad_()
            ours.requires_grad_()
            if pick.random() < 0.5:
                theirs, ours = theirs * 1, ours * 1
        options = {name: pick.choice(values) for name, values in OPTIONS.items()} if pick.random() < 0.3 else {}
        torch.set_printoptions(profile="default")
        torch.set_printoptions(**options)
        expected = repr(theirs)
        torch.set_printoptions(profile="default")
        with printoptions(**options):
            assert tensor_repr(ours) == expected
