"""Memory that waits for the gradient of a leaf, as DistributedDataParallel's buckets do."""

import disttorch
from disttorch.autograd.variable import housed


class Owner:
    """Who has given homes."""


def test_a_home_that_was_taken_back_is_not_written_to_by_a_kept_graph():
    owner, weight = Owner(), disttorch.ones(3, 4, requires_grad=True)
    x = disttorch.arange(8.0).reshape(2, 4)
    once = x.sum(0).expand(3, 4)
    out = disttorch.nn.functional.linear(x, weight, disttorch.zeros(3))
    housed.add(owner)
    weight._grad_home = home = disttorch.zeros(3, 4)
    out.backward(disttorch.ones(2, 3), retain_graph=True)
    assert weight.grad.data_ptr() == home.data_ptr()
    housed.discard(owner)
    weight._grad_home = None
    out.backward(disttorch.full((2, 3), 3.0))
    assert disttorch.equal(weight.grad, 4 * once)
