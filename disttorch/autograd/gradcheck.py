"""Gradients against differences: `gradcheck` for first derivatives, `gradgradcheck` for second ones.

A Jacobian here has a row per input element and a column per output element. Of a complex output the real and the
imaginary part are checked one after the other, each a real function; its gradient for a complex input x + iy is df/dx +
i df/dy.
"""

import warnings

import numpy as np

from ..devices import namespace
from .gradients import grad
from .variable import Tensor, wrap


class GradcheckError(RuntimeError):
    """Raised by `gradcheck` and `gradgradcheck` for a gradient that is wrong."""


def gradcheck(
    func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, nondet_tol=0.0, check_undefined_grad=True,
    check_grad_dtypes=False, check_batched_grad=False, check_batched_forward_grad=False, check_forward_ad=False,
    check_backward_ad=True, fast_mode=False, masked=None,
) -> bool:  # fmt: skip
    """Whether the gradients of func(*inputs) agree with central differences of width 2 eps: |a - n| <= atol + rtol *
    |n|.

    inputs: a tensor or a sequence; those that require a gradient should be float64. Also checks that a backward pass
    repeats itself (to `nondet_tol`) and is zero for zero gradients. Whole Jacobians are compared, also with
    `fast_mode`; gradients of unused outputs are zeros here, never undefined. check_forward_ad: also the products that
    `forward_ad` gives (batched ones are those, one after another). Raises GradcheckError, or returns False without
    `raise_exception`; ValueError if no input requires a gradient.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    _check_inputs(inputs)
    try:
        if check_forward_ad:
            _check_forward(func, inputs, eps, atol, rtol)
        if check_backward_ad:
            _check(func, inputs, eps, atol, rtol, nondet_tol, check_grad_dtypes)
            _check_zero(func, inputs)
            if check_batched_grad:
                _check_batched(func, inputs)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, gen_non_contig_grad_outputs=False,
    raise_exception=True, nondet_tol=0.0, check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False,
    check_fwd_over_rev=False,
    check_rev_over_rev=True, fast_mode=False, masked=False,
) -> bool:  # fmt: skip
    """`gradcheck` of the gradients of func(*inputs), as a function of the inputs and of `grad_outputs` (random unless
    given).
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        outputs = _differentiable(func(*inputs))
        grad_outputs = tuple([_random_like(o, gen_non_contig_grad_outputs) for o in outputs])
    else:
        grad_outputs = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
    count = len(grad_outputs)

    def gradients(*args):
        given = args[:-count]
        outputs = _differentiable(func(*given))
        wanted = [t for t in given if isinstance(t, Tensor) and t.requires_grad]
        found = grad(outputs, wanted, args[-count:], create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None])

    return gradcheck(
        gradients, inputs + grad_outputs, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev,
    )  # fmt: skip


def _check_inputs(inputs: tuple) -> None:
    wanted = [(k, t) for k, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )
    for k, t in wanted:
        if t._data.dtype not in (np.float64, np.complex128):
            warnings.warn(
                f"Input #{k} requires gradient and is not a double precision floating point or complex. This check "
                "will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=3,
            )
        if any(s == 0 and n > 1 for s, n in zip(t._data.strides, t._data.shape, strict=True)):
            raise RuntimeError(
                f"The {k}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous "
                "on the input before passing it to gradcheck."
            )


def _tensors(results) -> list:
    return [r for r in (results if isinstance(results, (tuple, list)) else (results,)) if isinstance(r, Tensor)]


def _differentiable(results) -> tuple:
    return tuple([r for r in _tensors(results) if r.requires_grad])


def _random_like(output: Tensor, spread: bool) -> Tensor:
    """Random numbers; `spread`: with gaps between them in memory."""
    from ..ops import randn

    shape = output._data.shape
    found = randn((*shape, 2) if spread else shape, dtype=output.dtype, device=output.device)
    return (found.select(-1, 0) if spread else found).detach().requires_grad_()


# -- Jacobians --------------------------------------------------------------------------------------------------------
def _parts(tensor: Tensor) -> list:
    """What is checked of an output: itself, or its real and its imaginary part."""
    return [("", tensor)] if tensor._data.dtype.kind != "c" else [("real", tensor.real), ("imag", tensor.imag)]


def _arrays(func, inputs: tuple) -> list:
    return [r._data for r in _tensors(func(*inputs))]


def _numerical(func, inputs: tuple, x: Tensor, eps: float) -> list:
    """A Jacobian of every output of func with respect to x, by central differences."""
    data = x._data

    def slopes(index, direction):
        kept = data[index].copy()
        data[index] = kept + eps * direction
        above = [a.copy() for a in _arrays(func, inputs)]
        data[index] = kept - eps * direction
        found = [(a - b) / (2 * eps) for a, b in zip(above, _arrays(func, inputs), strict=True)]
        data[index] = kept  # not before: results may be views of it
        return found

    return _columns(data, slopes)


def _pushed(func, inputs: tuple, x: Tensor) -> list:
    """A Jacobian of every output of func with respect to x, by forward-mode differentiation."""
    from .forward_ad import dual_level, make_dual, unpack_dual

    def slopes(index, direction):
        tangent = np.zeros_like(x._data)
        tangent[index] = direction
        with dual_level():
            given = [make_dual(x, wrap(tangent, x.device)) if t is x else t for t in inputs]
            pairs = [(r, unpack_dual(r).tangent) for r in _tensors(func(*given))]
        return [np.zeros_like(r._data) if t is None else t._data for r, t in pairs]

    return _columns(x._data, slopes)


def _columns(data, slopes) -> list:
    """A Jacobian's columns: slopes(index, direction) of each output, by real and imaginary parts of either."""
    columns = []
    for index in np.ndindex(data.shape):
        column = None
        for direction in (1, 1j) if data.dtype.kind == "c" else (1,):
            found = [s.reshape(-1) for s in slopes(index, direction)]
            if column is None:
                column = [{"": s} if s.dtype.kind != "c" else {"real": s.real, "imag": s.imag} for s in found]
                continue
            for part, s in zip(column, found, strict=True):
                for name, values in [("", s)] if s.dtype.kind != "c" else [("real", s.real), ("imag", s.imag)]:
                    part[name] = part[name] + 1j * values
        columns.append(column)
    return columns


def _analytical(output: Tensor, wanted: list) -> list:
    """The Jacobian of one real output with respect to each input, by a backward pass per output element."""
    xp = namespace(output.device)
    found = [xp.zeros((t._data.size, output._data.size), t._data.dtype) for t in wanted]
    types = [None] * len(wanted)
    for k in range(output._data.size):
        seed = xp.zeros(output._data.size, output._data.dtype)
        seed[k] = 1
        grads = grad(
            output, wanted, wrap(seed.reshape(output._data.shape), output.device), retain_graph=True, allow_unused=True
        )
        for nr, g in enumerate(grads):
            if g is None:
                continue
            if g._data.shape != wanted[nr]._data.shape:
                raise GradcheckError("Analytical gradient has incorrect size")
            types[nr] = g.dtype
            found[nr][:, k] = g._data.reshape(-1)
    return list(zip(found, types, strict=True))


def _check(func, inputs: tuple, eps, atol, rtol, nondet_tol, check_grad_dtypes) -> None:
    results = _tensors(func(*inputs))
    wanted = [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]
    numbers = [k for k, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    numerical = [_numerical(func, inputs, t, eps) for t in wanted]
    for nr, result in enumerate(results):
        for part, output in _parts(result):
            if not output.requires_grad:
                if result._data.dtype.kind in "fc" and any(
                    np.abs(c[nr][part]).max(initial=0) > atol for n in numerical for c in n
                ):
                    raise GradcheckError("Numerical gradient for function expected to be zero")
                continue
            jacobians, again = _analytical(output, wanted), _analytical(output, wanted)
            for at, (t, (analytical, dtype), (repeated, _)) in enumerate(zip(wanted, jacobians, again, strict=True)):
                expected = np.array([c[nr][part] for c in numerical[at]]).reshape(analytical.shape)
                if not np.allclose(analytical, expected, rtol, atol, equal_nan=True):
                    raise GradcheckError(_mismatch(part, nr, numbers[at], expected, analytical))
                if np.abs(analytical - repeated).max(initial=0) > nondet_tol:
                    raise GradcheckError(
                        "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
                        "times gives different values, although analytical gradient matches numerical gradient.The "
                        f"tolerance for nondeterminism was {nondet_tol}."
                    )
                if check_grad_dtypes and dtype is not None and dtype is not t.dtype:
                    raise GradcheckError("Gradient has dtype mismatch")


def _check_forward(func, inputs: tuple, eps, atol, rtol) -> None:
    for at, x in enumerate(inputs):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        for numerical, found in zip(_numerical(func, inputs, x, eps), _pushed(func, inputs, x), strict=True):
            for nr, (expected, parts) in enumerate(zip(numerical, found, strict=True)):
                for part, values in parts.items():
                    if not np.allclose(values, expected[part], rtol, atol, equal_nan=True):
                        text = _mismatch(part, nr, at, expected[part], values, " computed with forward mode")
                        raise GradcheckError(text)


def _mismatch(part, output, input, numerical, analytical, how: str = "") -> str:
    told = (
        f"While considering the {'imaginary' if part == 'imag' else part} part of complex outputs only, "
        if part
        else ""
    )
    return (
        f"{told}Jacobian{how} mismatch for output {output} with respect to input {input},\n"
        f"numerical:{wrap(numerical)!r}\nanalytical:{wrap(np.asarray(analytical))!r}\n"
    )


def _check_zero(func, inputs: tuple) -> None:
    """Gradients of zeros are zeros of the inputs' types and shapes."""
    outputs = _differentiable(func(*inputs))
    wanted = [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]
    if not outputs:
        return
    zeros = [wrap(namespace(o.device).zeros_like(o._data), o.device) for o in outputs]
    for g, t in zip(grad(outputs, wanted, zeros, allow_unused=True), wanted, strict=True):
        if g is None:
            continue
        if not (g._data == 0).all():
            raise GradcheckError("backward not multiplied by grad_output")
        if g.device is not t.device:
            raise GradcheckError("grad is incorrect device")
        if g._data.shape != t._data.shape:
            raise GradcheckError("grad is incorrect size")


def _check_batched(func, inputs: tuple) -> None:
    """A batch of gradients at once gives what they give one by one."""
    from ..ops import stack

    wanted = [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]
    for output in _differentiable(func(*inputs)):
        seeds = [_random_like(output, False).detach() for _ in range(2)]
        single = [grad(output, wanted, s, retain_graph=True, allow_unused=True) for s in seeds]
        batch = grad(output, wanted, stack(seeds), retain_graph=True, allow_unused=True, is_grads_batched=True)
        for nr, g in enumerate(batch):
            if g is not None and not np.allclose(g._data, np.stack([s[nr]._data for s in single])):
                raise GradcheckError(f"While computing batched gradients, got another gradient for input {nr}")
