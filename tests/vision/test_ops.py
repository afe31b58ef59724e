"""Layers for pictures."""

import numpy as np
import pytest

import disttorch as torch
from disttorch import nn
from disttorch.vision import datasets, ops


def test_frozen_batch_norm_is_batch_norm_that_nothing_trains():
    norm = nn.BatchNorm2d(3).eval()
    for t in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        t.uniform_(0.5, 2)
    frozen = ops.FrozenBatchNorm2d(3)
    frozen.load_state_dict(norm.state_dict())
    x = torch.randn(2, 3, 4, 4)
    np.testing.assert_allclose(frozen.train()(x).numpy(), norm(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert not list(frozen.parameters())
    assert repr(frozen) == "FrozenBatchNorm2d(3, eps=1e-05)"


def test_kmnist_has_its_own_folder_and_classes(tmp_path):
    assert len(datasets.KMNIST.classes) == 10
    assert {name for name, _ in datasets.KMNIST.resources} == {name for name, _ in datasets.MNIST.resources}
    with pytest.raises(RuntimeError, match="Dataset not found"):
        datasets.KMNIST(tmp_path)
