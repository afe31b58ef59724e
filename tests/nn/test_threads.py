"""Training has the same bits whatever the number of threads."""

import pytest

import disttorch
from disttorch import nn
from disttorch.kernels import for_device


@pytest.fixture
def kept_threads():
    before = disttorch.get_num_threads()
    yield
    disttorch.set_num_threads(before)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 36, 1), nn.BatchNorm2d(36),
        nn.ReLU(), nn.Conv2d(36, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Linear(1024, 256), nn.LayerNorm(256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip


def trained(threads):
    disttorch.set_num_threads(threads)
    disttorch.manual_seed(0)
    model, x, y = convolutional(), disttorch.randn(16, 3, 16, 16), disttorch.randint(0, 10, (16,))
    optimizer = disttorch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def test_a_network_trained_with_any_number_of_threads_has_the_same_bits(kept_threads):
    if for_device("cpu").name != "onednn":
        pytest.skip("the portable kernels' products are OpenBLAS's, which parts sums as there are threads")
    alone = trained(1)
    assert trained(2) == alone
    assert trained(3) == alone
