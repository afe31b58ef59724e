"""Sums over many numbers of narrow dtypes, and losses of few numbers that are not finite."""

import pytest

import disttorch as torch
from disttorch.nn import functional as F


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_many_narrow_losses_are_summed_in_float32(dtype):
    x = torch.full((5000, 4), -3.0, dtype=dtype, requires_grad=True)
    target = torch.zeros(5000, dtype=torch.int64)
    loss = F.nll_loss(x, target)
    loss.backward()
    assert loss.item() == 3
    assert x.grad[0].tolist() == torch.tensor([-1 / 5000, 0, 0, 0], dtype=dtype).tolist()
    assert F.nll_loss(x, target, reduction="sum").item() == torch.tensor(15000.0, dtype=dtype).item()


def test_a_few_logits_that_are_not_finite_warn_of_nothing(recwarn):
    for value in (float("nan"), float("inf")):
        logits = torch.tensor([[value, 1.0, 2.0]])
        assert F.cross_entropy(logits, torch.tensor([0])).isnan()
    assert not recwarn.list


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_many_narrow_numbers_are_added_in_float32(dtype):
    ones, one_row = torch.ones(3000, 2, dtype=dtype), torch.zeros(3000, 2, dtype=torch.int64)
    expected = torch.tensor(3000.0, dtype=dtype)
    assert torch.zeros(1, 2, dtype=dtype).scatter_add(0, one_row, ones)[0, 0] == expected
    assert F.embedding_bag(torch.arange(3000)[None], ones, mode="sum")[0, 0] == expected
    assert torch.zeros(3000, dtype=dtype).logsumexp(0) == torch.tensor(3000.0).log().to(dtype)
