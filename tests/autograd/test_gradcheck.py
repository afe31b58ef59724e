"""gradcheck itself: it lets right gradients pass and stops wrong ones."""

import pytest

import disttorch
from disttorch.autograd import Function, gradcheck, gradgradcheck
from disttorch.autograd.gradcheck import GradcheckError


class Wrong(Function):
    """x² with the gradient 3 x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0] * 3


def leaf(*shape, dtype=disttorch.float64):
    return disttorch.randn(*shape, dtype=dtype).requires_grad_()


def test_right_gradients_pass():
    assert gradcheck(lambda x, y: x @ y, (leaf(2, 3), leaf(3, 2)))
    assert gradgradcheck(lambda x: x**3, leaf(3))


def test_wrong_gradients_are_told():
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0,\nnumerical:"):
        gradcheck(Wrong.apply, leaf(3))
    assert gradcheck(Wrong.apply, leaf(3), raise_exception=False) is False


def test_wrong_second_gradients_are_told():
    class WrongTwice(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].detach() * 2

    assert gradcheck(WrongTwice.apply, leaf(3))
    assert gradgradcheck(WrongTwice.apply, leaf(3), raise_exception=False) is False


def test_complex_functions_and_inputs():
    x = leaf(3, dtype=disttorch.complex128)
    assert gradcheck(lambda x: x * x, x)
    assert gradcheck(lambda x: x.abs(), x)


def test_an_output_without_a_gradient_must_not_depend_on_the_input():
    with pytest.raises(GradcheckError, match="Numerical gradient for function expected to be zero"):
        gradcheck(lambda x: (x * 2, x.detach() * 2), leaf(3))


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="gradcheck expects at least one input tensor to require gradient"):
        gradcheck(lambda x: x, disttorch.ones(3, dtype=disttorch.float64))
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision"):
        gradcheck(lambda x: x * 2, leaf(2, dtype=disttorch.float32), atol=1, rtol=1)
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(lambda x: x * 2, disttorch.ones(1, dtype=disttorch.float64).expand(3).requires_grad_())


def test_non_contiguous_inputs_and_batched_gradients():
    assert gradcheck(lambda x: x.sin(), (leaf(3, 2).detach().t().requires_grad_(),), check_batched_grad=True)
    assert gradgradcheck(lambda x: x.sin(), leaf(3), gen_non_contig_grad_outputs=True)
