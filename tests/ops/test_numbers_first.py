"""Forms from before settings had names: numbers in front of tensors."""

import pytest

import disttorch as torch

a, b, c = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor([1.0, 5.0])
m = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
x = torch.ones(2, 2, 2)

CASES = {
    "add": (lambda: a.add(2, b), [7.0, 10.0]),
    "torch.add": (lambda: torch.add(a, 2, b), [7.0, 10.0]),
    "add_": (lambda: a.clone().add_(2, b), [7.0, 10.0]),
    "sub_": (lambda: a.clone().sub_(2, b), [-5.0, -6.0]),
    "addcmul_": (lambda: a.clone().addcmul_(2, b, c), [7.0, 42.0]),
    "addcdiv": (lambda: torch.addcdiv(a, 2, b, c), [7.0, 3.6]),
    "addmm": (lambda: torch.addmm(1, a, 2, m, m), [[15.0, 22.0], [31.0, 46.0]]),
    "addmm with beta": (lambda: m.clone().addmm_(2, m, m), [[9.0, 14.0], [21.0, 30.0]]),
    "addmv": (lambda: torch.addmv(1, a, 2, m, b), [23.0, 52.0]),
    "addr": (lambda: torch.addr(1, m, 2, a, b), [[7.0, 10.0], [15.0, 20.0]]),
    "baddbmm": (lambda: torch.baddbmm(1, x, 2, x, x)[0], [[5.0, 5.0], [5.0, 5.0]]),
    "addbmm": (lambda: torch.addbmm(1, m, 2, x, x), [[9.0, 10.0], [11.0, 12.0]]),
}


@pytest.mark.parametrize("name", CASES)
def test_deprecated(name):
    call, wanted = CASES[name]
    with pytest.warns(UserWarning, match="^This overload of .* is deprecated"):
        assert torch.allclose(call(), torch.tensor(wanted))


def test_two_numbers_after_the_tensor():
    assert a.add(2, 2).tolist() == [5.0, 6.0]
    assert torch.rsub(a, 2, 2).tolist() == [0.0, -2.0]


def test_too_many_numbers():
    with pytest.raises(TypeError):
        torch.addcmul(a, 1, 2, b, c)


def test_operators_of_the_class_want_a_tensor_first():
    with pytest.raises(TypeError, match=r"doesn't apply to a 'int' object$"):
        torch.Tensor.__radd__(2, a)
