"""torch.fft: discrete Fourier transforms, computed by numpy.fft.

`norm` is "backward" (default: divided by the size on the way back), "ortho" or "forward".
"""

from . import dtypes
from .autograd.inplace import write
from .autograd.variable import Tensor, wrap
from .devices import namespace, resolve, scope
from .ops import conj, roll
from .ops.arguments import need_tensor
from .ops.creation import as_dtype, leaf
from .ops.dims import axis
from .ops.fourier import SWAPPED, c2c, c2r, padded, r2c


# -- arguments -------------------------------------------------------------------------------------------------------
def _resized(x: Tensor, dims, sizes) -> Tensor:
    for d, n in zip(dims, sizes, strict=True):
        have = x._data.shape[d]
        if n < have:
            x = x.narrow(d, 0, n)
        elif n > have:
            x = padded(x, d, n - have)
    return x


def _norm(norm) -> str:
    if norm is None:
        return "backward"
    if norm not in SWAPPED:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _floating(x: Tensor, complex_too: bool, name: str) -> Tensor:
    need_tensor(x, f"fft_{name}", "input", 1)
    if x.dtype.is_complex:
        if not complex_too:
            raise RuntimeError(f"{name} expects a real input tensor, but got {_scalar(x)}")
        return x
    if x.dtype.itemsize == 2 and x.dtype.is_floating_point:
        raise RuntimeError("Unsupported dtype " + _scalar(x))
    return x if x.dtype.is_floating_point else x.to(dtypes.get_default_dtype())


def _scalar(x) -> str:
    return dtypes.SCALAR_NAMES[x.dtype]


def _check_sizes(sizes) -> None:
    for n in sizes:
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _shape_and_dims(x: Tensor, s, dim) -> tuple:
    """The transformed dimensions and their sizes; `s` and `dim` as torch.fft takes them."""
    n = x._data.ndim
    s = None if s is None else [s] if isinstance(s, int) else list(s)
    dim = None if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if dim is not None and s is not None and len(s) != len(dim):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    if dim is not None:
        dims = [axis(d, n) for d in dim]
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        sizes = [-1] * len(dims) if s is None else s
    elif s is not None:
        if len(s) > n:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {n} dimensions.")
        dims, sizes = list(range(n - len(s), n)), s
    else:
        dims, sizes = list(range(n)), [-1] * n
    sizes = [x._data.shape[d] if k == -1 else k for d, k in zip(dims, sizes, strict=True)]
    _check_sizes(sizes)
    return tuple(dims), sizes


# -- transforms ------------------------------------------------------------------------------------------------------
def _complex(name, forward):
    def one(input, n=None, dim=-1, norm=None, *, out=None):
        x = _floating(input, True, name)
        d = axis(dim, x._data.ndim)
        if x._data.ndim == 0:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        size = x._data.shape[d] if n is None else n
        _check_sizes([size])
        return write(out, c2c(_resized(x, (d,), (size,)), (d,), _norm(norm), forward))

    def several(input, s=None, dim=None, norm=None, *, out=None):
        x = _floating(input, True, name)
        dims, sizes = _shape_and_dims(x, s, dim)
        x = _resized(x, dims, sizes)
        return write(out, c2c(x, dims, _norm(norm), forward) if dims else x.to(x.dtype.to_complex()))

    return one, several


def _second(several):
    """The form with dim=(-2, -1) as default."""

    def two(input, s=None, dim=(-2, -1), norm=None, *, out=None):
        return several(input, s, dim, norm, out=out)

    return two


fft, fftn = _complex("fft", True)
ifft, ifftn = _complex("ifft", False)


def rfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The n // 2 + 1 non-negative frequencies of a real signal."""
    return write(out, _rfftn("rfft", input, None if n is None else (n,), (dim,), norm))


def rfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The transform of a real tensor, with half of the last dimension."""
    return write(out, _rfftn("rfftn", input, s, dim, norm))


def _rfftn(name, input, s, dim, norm):
    x = _floating(input, False, name)
    dims, sizes = _shape_and_dims(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    return r2c(_resized(x, dims, sizes), dims, _norm(norm))


def irfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The real signal of n (2 * (size - 1) unless given) points whose non-negative frequencies are `input`."""
    return write(out, _irfftn("irfft", input, None if n is None else (n,), (dim,), norm))


def irfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of `rfftn`."""
    return write(out, _irfftn("irfftn", input, s, dim, norm))


def _irfftn(name, input, s, dim, norm):
    x = _floating(input, True, name)
    if not x.dtype.is_complex:
        x = x.to(x.dtype.to_complex())
    given = None if s is None else [s] if isinstance(s, int) else list(s)
    dims, sizes = _shape_and_dims(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    last = given[-1] if given is not None and given[-1] != -1 else 2 * (x._data.shape[dims[-1]] - 1)
    _check_sizes([last])
    x = _resized(x, dims, [*sizes[:-1], last // 2 + 1])
    return c2r(x, dims, _norm(norm), last)


def hfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The real transform of a signal with Hermitian symmetry, given by its first half."""
    return write(
        out,
        _irfftn(
            "hfft", conj(_floating(input, True, "hfft")), None if n is None else (n,), (dim,), SWAPPED[_norm(norm)]
        ),
    )


def ihfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of `hfft`."""
    return write(out, conj(_rfftn("ihfft", input, None if n is None else (n,), (dim,), SWAPPED[_norm(norm)])))


def hfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The real transform of a tensor with Hermitian symmetry in its last dimension."""
    return write(out, _irfftn("hfftn", conj(_floating(input, True, "hfftn")), s, dim, SWAPPED[_norm(norm)]))


def ihfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of `hfftn`."""
    return write(out, conj(_rfftn("ihfftn", input, s, dim, SWAPPED[_norm(norm)])))


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = map(_second, (fftn, ifftn, rfftn, irfftn, hfftn, ihfftn))


# -- frequencies -----------------------------------------------------------------------------------------------------
def _frequencies(function):
    def frequencies(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
        where = resolve(device)
        kind = as_dtype("fftfreq", dtype) or dtypes.get_default_dtype()
        with scope(where):
            values = getattr(namespace(where).fft, function)(n, d).astype(kind.np)
        made = wrap(values, where)
        return write(out, made) if out is not None else leaf(made, requires_grad)

    return frequencies


fftfreq, rfftfreq = _frequencies("fftfreq"), _frequencies("rfftfreq")


def _shift(input, dim, half):
    dims = range(input._data.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    dims = [axis(d, input._data.ndim) for d in dims]
    return roll(input, [half(input._data.shape[d]) for d in dims], dims) if dims else input.clone()


def fftshift(input, dim=None):
    """Frequency 0 moved to the middle."""
    need_tensor(input, "fft_fftshift", "input", 1)
    return _shift(input, dim, lambda n: n // 2)


def ifftshift(input, dim=None):
    """The inverse of `fftshift`."""
    need_tensor(input, "fft_ifftshift", "input", 1)
    return _shift(input, dim, lambda n: (n + 1) // 2)


_TEXTS = {
    "fft": "The Fourier transform along one dimension, cut or padded to n points.",
    "ifft": "The inverse of `fft`.",
    "fftn": "The Fourier transform over several dimensions.",
    "ifftn": "The inverse of `fftn`.",
    "fftfreq": "The frequencies of `fft`'s n results for a spacing d of the samples.",
    "rfftfreq": "The frequencies of `rfft`'s results for n samples of spacing d.",
} | {
    name: f"`{name[:-1]}n` over the last two dimensions."
    for name in ("fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2")
}
for _name, _text in _TEXTS.items():
    globals()[_name].__name__ = globals()[_name].__qualname__ = _name
    globals()[_name].__doc__ = _text

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift",
    "ihfft",
    "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip
