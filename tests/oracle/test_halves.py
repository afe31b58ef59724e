"""float16 and bfloat16 with Python numbers, bit for bit as in PyTorch.

PyTorch's kernels go 32 elements at a time and compute those left over otherwise where a sum has an alpha; here are
none left over.
"""

import math

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

NUMBERS = [
    1.003, 0.1, -0.1, 1 / 3, 3, -3, 7, 2.5, 0.01, 2049, 65505, 70000, -70000, 1e-9, 1e30, -1e30, 1e39, 1e-42, math.inf,
    -math.inf, math.nan, 0, 0.0, 1, 2, -1, 0.5, -0.5,
]  # fmt: skip
OPERATIONS = {
    "add": lambda lib, x, n: x + n,
    "sub": lambda lib, x, n: n - x,
    "mul": lambda lib, x, n: x * n,
    "div": lambda lib, x, n: x / n,
    "rdiv": lambda lib, x, n: n / x,
    "trunc": lambda lib, x, n: lib.div(x, n, rounding_mode="trunc"),
    "floor": lambda lib, x, n: x // n,
    "floor of a number": lambda lib, x, n: n // x,
    "floor of two": lambda lib, x, n: (x * n) // x.flip(0),
    "remainder": lambda lib, x, n: x % n,
    "fmod": lambda lib, x, n: lib.fmod(x, n),
    "pow": lambda lib, x, n: x**n,
    "rpow": lambda lib, x, n: n**x,
    "clamp": lambda lib, x, n: x.clamp(-1.003, n),
    "eq": lambda lib, x, n: x == n,
    "lt": lambda lib, x, n: x < n,
    "where": lambda lib, x, n: lib.where(x > 0, x, n),
    "copysign": lambda lib, x, n: lib.copysign(x, n),
    "alpha": lambda lib, x, n: lib.add(x, x.flip(0), alpha=n),
    "less alpha": lambda lib, x, n: lib.sub(x, 1.003, alpha=n),
    "addcdiv": lambda lib, x, n: lib.addcdiv(x, x.flip(0), x, value=n),
    "mul_": lambda lib, x, n: x.clone().mul_(n),
    "div_": lambda lib, x, n: x.clone().div_(n),
    "add_": lambda lib, x, n: x.clone().add_(x.flip(0), alpha=n),
    "number in a float32 tensor": lambda lib, x, n: x * lib.tensor(n, dtype=lib.float32),
    "number in a float64 tensor": lambda lib, x, n: x / lib.tensor(n, dtype=lib.float64),
    "number in a bfloat16 tensor": lambda lib, x, n: lib.div(
        x, lib.tensor([n]).to(lib.bfloat16)[0], rounding_mode="trunc"
    ),
    "maximum": lambda lib, x, n: lib.maximum(x, lib.tensor(n, dtype=lib.float32)),
    "_foreach_mul": lambda lib, x, n: lib._foreach_mul([x], n)[0],
    "_foreach_div": lambda lib, x, n: lib._foreach_div([x], n)[0],
    "leaky_relu": lambda lib, x, n: lib.nn.functional.leaky_relu(x, min(n, 1e38)),
    "hardshrink": lambda lib, x, n: lib.nn.functional.hardshrink(x, n),
    "hardtanh": lambda lib, x, n: lib.nn.functional.hardtanh(x, -abs(n), abs(n)),
    "dropout": lambda lib, x, n: lib.nn.functional.dropout(x, 0.3),
}
rng = np.random.default_rng(0)
VALUES = np.concatenate(
    [rng.standard_normal(400), rng.standard_normal(300) * 1000, rng.standard_normal(55) * 1e-4,
     [0, -0.0, np.inf, -np.inf, np.nan, 65504, -65504, 1, 2, -1, -2, 3, 0.5]]
)  # fmt: skip
assert len(VALUES) % 64 == 0


def outcome(lib, dtype, operation, number):
    """Dtype and elements of the result, with all NaN alike and both zeros; or the error's text."""
    lib.manual_seed(0)
    x = lib.tensor(VALUES.tolist(), dtype=lib.float32).to(getattr(lib, dtype))
    try:
        with np.errstate(all="ignore"):
            result = operation(lib, x, number)
    except RuntimeError as error:
        return str(error)
    return str(result.dtype), result.float().nan_to_num(12345.0, math.inf, -math.inf).tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_bits(name, dtype):
    wrong = []
    for number in NUMBERS:
        if outcome(disttorch, dtype, OPERATIONS[name], number) != outcome(torch, dtype, OPERATIONS[name], number):
            wrong.append(number)
    assert wrong == []
