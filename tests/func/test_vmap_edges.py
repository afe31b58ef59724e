"""vmap's randomness, empty inputs, and complaints."""

import pytest

import disttorch
from disttorch import func


def test_randomness():
    x = disttorch.zeros(3)
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        func.vmap(lambda t: t + disttorch.rand(()))(x)
    same = func.vmap(lambda t: t + disttorch.rand(()), randomness="same")(x)
    assert len(set(same.tolist())) == 1
    assert len(set(func.vmap(lambda t: t + disttorch.rand(()), randomness="different")(x).tolist())) == 3
    with pytest.raises(RuntimeError, match="Only allowed values for randomness"):
        func.vmap(lambda t: t, randomness="none")


def test_no_entries():
    assert func.vmap(lambda t: t * 2)(disttorch.zeros(0, 3)).shape == (0, 3)
    assert func.vmap(lambda t: t.sum(), out_dims=0)(disttorch.zeros(0, 3)).shape == (0,)


def test_dimensions_and_results_are_checked():
    with pytest.raises(ValueError, match="Got in_dim=5 for some input, but that input is a Tensor of dimensionality 1"):
        func.vmap(lambda t: t, in_dims=5)(disttorch.ones(2))
    with pytest.raises(ValueError, match="must only return Tensors, got type <class 'int'>"):
        func.vmap(lambda t: 1)(disttorch.ones(2))
