"""Pruning: masks, methods after one another, and the way back."""

import numpy as np
import pytest

import disttorch
from disttorch import nn
from disttorch.nn.utils import prune


def linear(values) -> nn.Linear:
    module = nn.Linear(len(values[0]), len(values), bias=False)
    with disttorch.no_grad():
        module.weight.copy_(disttorch.tensor(values))
    return module


def test_a_pruned_parameter_is_a_product_until_it_is_removed():
    module = linear([[1.0, -4.0], [2.0, 3.0]])
    assert prune.l1_unstructured(module, "weight", amount=2) is module
    assert module.weight.tolist() == [[0, -4], [0, 3]]
    assert [name for name, _ in module.named_parameters()] == ["weight_orig"]
    assert list(module.state_dict()) == ["weight_orig", "weight_mask"]
    assert prune.is_pruned(nn.Sequential(module))

    module(disttorch.ones(1, 2)).sum().backward()
    assert module.weight_orig.grad.tolist() == [[0, 1], [0, 1]]
    with disttorch.no_grad():
        module.weight_orig.fill_(7)
    module(disttorch.ones(1, 2))  # a forward multiplies again
    assert module.weight.tolist() == [[0, 7], [0, 7]]

    original = module.weight_orig
    assert prune.remove(module, "weight") is module
    assert module.weight is original
    assert module.weight.tolist() == [[0, 7], [0, 7]]
    assert list(module.state_dict()) == ["weight"]
    assert not prune.is_pruned(module)
    with pytest.raises(ValueError, match="has to be pruned before pruning can be removed"):
        prune.remove(module, "weight")


def test_methods_see_what_the_former_have_left():
    module = linear([[1.0, -4.0, 2.0], [9.0, 3.0, 5.0]])
    prune.l1_unstructured(module, "weight", amount=1)
    prune.l1_unstructured(module, "weight", amount=0.4)  # of five
    assert module.weight_mask.tolist() == [[0, 1, 0], [1, 0, 1]]
    prune.ln_structured(module, "weight", amount=1, n=2, dim=0)
    assert module.weight_mask.tolist() == [[0, 0, 0], [1, 0, 1]]
    (hook,) = module._forward_pre_hooks.values()
    assert isinstance(hook, prune.PruningContainer)
    assert [type(m).__name__ for m in hook] == ["L1Unstructured", "L1Unstructured", "LnStructured"]
    assert len(hook) == 3
    prune.ln_structured(module, "weight", amount=1, n=1, dim=0)  # of the one row that is left
    assert not module.weight_mask.any()


def test_random_pruning_draws_as_many_as_asked():
    disttorch.manual_seed(0)
    module = nn.Conv2d(4, 6, 3)
    prune.random_unstructured(module, "weight", amount=0.25)
    assert module.weight_mask.sum() == 0.75 * module.weight.numel()
    prune.random_structured(module, "weight", amount=2, dim=1)
    assert (module.weight_mask.sum(dim=(0, 2, 3)) == 0).sum() == 2


def test_of_several_tensors_at_once():
    first, second = linear([[1.0, 2.0]]), linear([[3.0], [0.5]])
    prune.global_unstructured([(first, "weight"), (second, "weight")], prune.L1Unstructured, amount=2)
    assert first.weight_mask.tolist() == [[0, 1]]
    assert second.weight_mask.tolist() == [[1], [0]]
    scores = {(first, "weight"): disttorch.tensor([[0.0, 9.0]])}
    prune.global_unstructured([(first, "weight"), (second, "weight")], prune.L1Unstructured, scores, amount=1)
    assert first.weight_mask.tolist() == [[0, 1]]
    assert second.weight_mask.tolist() == [[0], [0]]
    with pytest.raises(TypeError, match='Only "unstructured" PRUNING_TYPE supported'):
        prune.global_unstructured([(first, "weight")], prune.LnStructured, amount=1, n=1)


def test_own_methods_and_masks():
    class EveryOther(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    module = linear([[1.0, 2.0, 3.0, 4.0]])
    EveryOther.apply(module, "weight")
    assert module.weight.tolist() == [[0, 2, 0, 4]]
    prune.custom_from_mask(module, "weight", disttorch.tensor([[1, 0, 1, 1]]))
    assert module.weight.tolist() == [[0, 0, 0, 4]]
    assert EveryOther().prune(disttorch.ones(3)).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("prune_it", "error", "text"),
    [
        (lambda m: prune.l1_unstructured(m, "weight", 1.5), ValueError, r"amount=1.5 should either be a float in"),
        (lambda m: prune.l1_unstructured(m, "weight", -1), ValueError, "non-negative integer"),
        (lambda m: prune.l1_unstructured(m, "weight", "all"), TypeError, "Invalid type for amount: all"),
        (lambda m: prune.l1_unstructured(m, "weight", 7), ValueError, "number of parameters to prune=4"),
        (lambda m: prune.random_structured(m, "weight", 1, dim=2), IndexError, "Invalid index 2 for tensor of size"),
        (lambda m: prune.l1_unstructured(m, "weight", 1, disttorch.ones(3)), AssertionError, "the same shape"),
    ],
)
def test_what_cannot_be_pruned_is_left_as_it_was(prune_it, error, text):
    module = linear([[1.0, -4.0], [2.0, 3.0]])
    weight = module.weight
    with pytest.raises(error, match=text):
        prune_it(module)
    assert module.weight is weight
    assert list(module.state_dict()) == ["weight"]
    assert not prune.is_pruned(module)


def test_what_is_pruned_stays_so_when_more_pruning_is_refused():
    layer = nn.Linear(4, 3)
    prune.l1_unstructured(layer, "weight", 0.5)
    mask = layer.weight_mask.clone()
    with pytest.raises(ValueError, match="smaller than the number of parameters"):
        prune.l1_unstructured(layer, "weight", 100)
    assert prune.is_pruned(layer)
    layer(disttorch.ones(1, 4))
    assert disttorch.equal(layer.weight, layer.weight_orig * mask)


@pytest.mark.oracle
def test_as_pytorch_does():
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch.nn.utils.prune")
    values = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype(np.float32)
    masks = []
    for library in (torch, disttorch):
        tool = library.nn.utils.prune
        module = library.nn.Conv2d(4, 6, 3)
        with library.no_grad():
            module.weight.copy_(library.tensor(values))
        library.manual_seed(3)
        tool.random_unstructured(module, "weight", 0.2)
        tool.random_structured(module, "weight", 0.3, dim=1)
        tool.ln_structured(module, "weight", 0.3, n=float("inf"), dim=0)
        tool.ln_structured(module, "weight", 1, n=2, dim=-1)
        tool.l1_unstructured(module, "weight", 0.5)
        masks.append(module.weight_mask.numpy())
    np.testing.assert_array_equal(*masks)
