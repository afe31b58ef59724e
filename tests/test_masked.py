"""torch.masked: what is masked out counts for nothing."""

import math

import numpy as np
import pytest

import disttorch
from disttorch import masked
from disttorch.autograd.gradcheck import gradcheck

X = disttorch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=disttorch.float64)
MASK = disttorch.tensor([[True, False, True], [False, False, False]])


def test_reductions_over_what_is_kept():
    assert masked.sum(X, 1, mask=MASK).tolist() == [4, 0]
    assert masked.prod(X, 1, mask=MASK).tolist() == [3, 1]
    assert masked.amax(X, 1, mask=MASK).tolist() == [3, -math.inf]
    assert masked.amin(X, 1, mask=MASK).tolist() == [1, math.inf]
    assert masked.argmax(X, 1, mask=MASK)[0].item() == 2
    assert masked.argmin(X, 1, mask=MASK)[0].item() == 0
    np.testing.assert_array_equal(masked.mean(X, 1, mask=MASK).numpy(), [2, math.nan])
    np.testing.assert_array_equal(masked.median(X, 1, mask=MASK).numpy(), [1, math.nan])
    np.testing.assert_allclose(masked.var(X, 1, mask=MASK).numpy(), [2, math.nan])
    np.testing.assert_allclose(masked.std(X, 1, correction=0, mask=MASK).numpy(), [1, math.nan])
    np.testing.assert_allclose(masked.norm(X, 2.0, 1, mask=MASK).numpy(), [math.sqrt(10), 0])
    np.testing.assert_allclose(masked.logsumexp(X, 1, mask=MASK).numpy()[0], math.log(math.e + math.e**3))


def test_shapes_are_kept():
    row = disttorch.tensor([True, False, True])  # broadcast
    assert masked.cumsum(X, 1, mask=row).tolist() == [[1, 1, 4], [4, 4, 10]]
    assert masked.cumprod(X, 1, mask=row).tolist() == [[1, 1, 3], [4, 4, 24]]
    soft = masked.softmax(X, 1, mask=row)
    assert soft[:, 1].tolist() == [0, 0]
    np.testing.assert_allclose(soft.numpy()[0, 2], 1 / (1 + math.exp(-2)))
    np.testing.assert_allclose(masked.log_softmax(X, 1, mask=row).exp().numpy(), soft.numpy())
    np.testing.assert_allclose(masked.softmin(-X, 1, mask=row).numpy(), soft.numpy())
    np.testing.assert_allclose(masked.normalize(X, 1.0, 1, mask=row).numpy(), [[0.25, 0, 0.75], [0.4, 0, 0.6]])
    both = masked.logaddexp(X, X, input_mask=MASK, other_mask=~MASK)
    np.testing.assert_allclose(both.numpy(), X.numpy())


def test_integers():
    x = disttorch.tensor([[3, 1], [2, 5]], dtype=disttorch.int32)
    keep = disttorch.tensor([[True, False], [False, False]])
    assert masked.sum(x, mask=keep).dtype is disttorch.int64
    assert masked.amax(x, 1, mask=keep).tolist() == [3, -(2**31)]
    with pytest.raises(ValueError, match="dtype must be either a floating point or complex dtype"):
        masked.mean(x)
    with pytest.raises(ValueError, match="no fully masked out rows"):
        masked.median(x, 1, mask=keep)


def test_nonsense_is_refused():
    with pytest.raises(IndexError, match="mask dimensionality higher"):
        masked.sum(X, mask=MASK[None])
    with pytest.raises(RuntimeError, match="appears multiple times"):
        masked.sum(X, (0, -2))
    with pytest.raises(NotImplementedError, match="identity of amax"):
        masked.amax(MASK, mask=MASK)


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "mean", "var", "norm", "logsumexp", "softmax", "cumsum"])
def test_gradients(name):
    x = disttorch.randn(3, 4, dtype=disttorch.float64).requires_grad_()
    keep = disttorch.tensor([True, False, True, True])
    assert gradcheck(lambda x: getattr(masked, name)(x, dim=1, mask=keep), (x,))
