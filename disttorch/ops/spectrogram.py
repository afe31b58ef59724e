"""Short-time Fourier transforms: the spectrum of a signal's overlapping windows, and the signal again from that.

D. Griffin, J. Lim, "Signal estimation from modified short-time Fourier transform" (1984). Shapes: (L,) or (B, L)
samples <-> (N, T) or (B, N, T): N frequencies of T frames.
"""

import warnings

from .. import dtypes
from .arguments import need_tensor
from .complexes import view_as_real
from .fourier import c2c, c2r, r2c
from .padding import pad
from .windows import _unfold_back, unfold

_NO_WINDOW = (
    "A window was not provided. A rectangular window will be applied, which is known to cause spectral leakage. Other "
    "windows such as torch.hann_window or torch.hamming_window are recommended to reduce spectral leakage. To "
    "suppress this warning and use a rectangular window, explicitly set `window=torch.ones(n_fft, device=<device>)`."
)


def _described(name: str, input, window, **settings) -> str:
    """A call as PyTorch's errors tell it."""
    parts = [f"{_typed(input)}{list(input.shape)}"]
    for key, value in settings.items():
        parts.append(f"{key}={'None' if value is None else int(value)}")
    shown = "None" if window is None else f"{_typed(window)}{{{list(window.shape)}}}"
    parts.insert(4, f"window={shown}")
    return f"{name}({', '.join(parts)})"


def _typed(t) -> str:
    return f"torch.{dtypes.SCALAR_NAMES[t.dtype]}Tensor"


def _check_window(call: str, input, window, n_fft: int, hop: int, length: int) -> None:
    if hop <= 0:
        raise RuntimeError(f"{call}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{call}: expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and window.shape != (length,):
        raise RuntimeError(
            f"{call}: expected a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{list(window.shape)}"
        )
    if window is not None and window.device is not input.device:
        raise RuntimeError(
            f"{call}: stft input and window must be on the same device but got self on {input.device} and window on "
            f"{window.device}"
        )


def _centred(window, n_fft: int):
    """The window in the middle of n_fft zeros."""
    missing = n_fft - window.shape[0]
    return pad(window, (missing // 2, missing - missing // 2)) if missing else window


def stft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
    onesided=None, return_complex=None, align_to_window=None,
):  # fmt: skip
    """The spectra (B?, N, T) of windows of `n_fft` samples, `hop_length` (n_fft // 4 unless given) apart.

    window      (win_length,), real or complex, in the middle of each frame; ones without
    center      frame t has its middle at sample t * hop_length; the signal is padded by `pad_mode` at both ends
    normalized  spectra divided by sqrt(n_fft)
    onesided    only the n_fft // 2 + 1 frequencies that are not negative: the default for real signals and windows
    return_complex  must be given for a real signal; False: real and imaginary parts as a last dimension of 2
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    call = _described(
        "stft", input, window, n_fft=n_fft, hop_length=hop, win_length=length, normalized=normalized,
        onesided=onesided, return_complex=return_complex,
    )  # fmt: skip
    if align_to_window is not None:
        raise NotImplementedError("stft: align_to_window is not supported; pad the signal instead")
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        raise RuntimeError(f"{call}: expected a tensor of floating point or complex values")
    if input.ndim not in (1, 2):
        raise RuntimeError(f"{call}: expected a 1D or 2D tensor")
    turned = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None:
        if not turned:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will further require that "
                "return_complex=True in a future PyTorch release."
            )
        return_complex = True
    x = input if input.ndim == 2 else input.unsqueeze(0)
    if center:
        x = pad(x.unsqueeze(0), (n_fft // 2, n_fft // 2), pad_mode).squeeze(0)
    if not 0 < n_fft <= x.shape[1]:
        raise RuntimeError(f"{call}: expected 0 < n_fft < {x.shape[1]}, but got n_fft={n_fft}")
    _check_window(call, input, window, n_fft, hop, length)
    onesided = not turned if onesided is None else onesided
    if onesided and turned:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if window is None:
        warnings.warn(_NO_WINDOW, stacklevel=2)
        window = x.new_ones(length)
    frames = unfold(x, 1, n_fft, hop) * _centred(window, n_fft)
    norm = "ortho" if normalized else "backward"
    if onesided:
        spectra = r2c(frames, (2,), norm)
    else:
        spectra = c2c(frames if turned else frames.to(frames.dtype.to_complex()), (2,), norm, True)
    spectra = spectra.transpose(1, 2)
    spectra = spectra if input.ndim == 2 else spectra.squeeze(0)
    return spectra if return_complex else view_as_real(spectra)


def istft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
    length=None, return_complex=False,
):  # fmt: skip
    """The signal (B?, L) whose `stft` is nearest to the spectra (B?, N, T), by least squares.

    length          of the result; what the frames do not reach is 0. By default all that was not padding
    return_complex  the signal is complex, and all frequencies are given
    RuntimeError where the windows, laid over one another, leave a sample out. The other settings are `stft`'s.
    """
    need_tensor(input, "istft", "input", 1)
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    call = _described(
        "istft", input, window, n_fft=n_fft, hop_length=hop, win_length=width, center=center, normalized=normalized,
        onesided=onesided, length=length, return_complex=return_complex,
    )  # fmt: skip
    if not input.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    if not input.numel():
        raise RuntimeError(f"{call}: input tensor cannot be empty.")
    if input.ndim not in (2, 3):
        raise RuntimeError(f"{call}: expected a tensor with 2 or 3 dimensions, but got {input.ndim}")
    spectra = (input if input.ndim == 3 else input.unsqueeze(0)).transpose(1, 2)
    frames, have = spectra.shape[1:]
    onesided = have != n_fft if onesided is None else onesided
    want = n_fft // 2 + 1 if onesided else n_fft
    if have != want:
        formula = "n_fft / 2 + 1" if onesided else "n_fft"
        raise RuntimeError(
            f"{call}: expected the frequency dimension (3rd to the last) of the input tensor to match {formula} when "
            f"onesided={onesided}, but got {have}"
        )
    if not 0 < hop <= width:
        raise RuntimeError(f"{call}: expected 0 < hop_length <= win_length")
    _check_window(call, input, window, n_fft, hop, width)
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and window.dtype.is_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    if window is None:
        window = input.new_ones(width, dtype=input.dtype.to_real())
    window = _centred(window, n_fft)
    norm = "ortho" if normalized else "backward"
    if return_complex:
        signal = c2c(spectra, (2,), norm, False)
    else:  # the other frequencies are these ones' conjugates
        signal = c2r(spectra.narrow(2, 0, n_fft // 2 + 1), (2,), norm, n_fft)
    reach = n_fft + hop * (frames - 1)
    signal = _unfold_back(signal * window, (spectra.shape[0], reach), 1, n_fft, hop)
    weights = _unfold_back((window * window).expand(1, frames, n_fft), (1, reach), 1, n_fft, hop)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else reach - n_fft // 2 if center else reach
    signal, weights = signal[:, start:end], weights[:, start:end]
    if weights.numel() and float(weights.abs().min()) < 1e-11:
        raise RuntimeError(f"{call}window overlap add min: {float(weights.abs().min())}")
    signal = signal / weights
    if end > reach:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in the "
            "tail. Please check your center and hop_length settings.",
            stacklevel=2,
        )
        signal = pad(signal, (0, end - max(reach, start)))
    return signal if input.ndim == 3 else signal.squeeze(0)


__all__ = ["istft", "stft"]
