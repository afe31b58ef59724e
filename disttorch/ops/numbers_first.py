"""Forms from before settings had names, in which numbers stand among the tensors: `p.addcdiv_(-lr, m, v)`,
addmm(beta, input, alpha, mat1, mat2). PyTorch calls them deprecated; older programs are full of them.
"""

import functools
import warnings

from ..autograd.variable import Tensor


def sorted_out(name: str, settings: tuple, args: tuple) -> tuple[list, dict]:
    """The tensors among positional arguments, and the numbers under the names of `settings`, with PyTorch's warning."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    numbers = [a for a in args if not isinstance(a, Tensor)]
    if len(numbers) > len(settings):
        raise TypeError(f"{name}() received an invalid combination of arguments - got {len(args)} by position")
    named = dict(zip(settings, numbers, strict=False))
    warnings.warn(
        f"This overload of {name} is deprecated:\n\t{name}({', '.join(f'Number {n}' for n in named)}, Tensor ...)\n"
        f"Consider using one of the following signatures instead:\n\t{name}(Tensor ..., *, "
        f"{', '.join(f'Number {n} = 1' for n in named)})",
        stacklevel=3,
    )
    return tensors, named


def numbers_first(*settings: str):
    """Decorates a function of tensors by position and numbers by name, which then takes those numbers in front of the
    tensors as well.
    """

    def decorate(function):
        most = function.__code__.co_argcount
        name = function.__name__

        @functools.wraps(function)
        def call(*args, **kwargs):
            if len(args) > most:
                tensors, named = sorted_out(name, settings, args)
                return function(*tensors, **named, **kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


__all__ = ["numbers_first", "sorted_out"]
