"""Windows, short-time Fourier transforms: known values, and the way there and back."""

import math

import numpy as np
import pytest

import disttorch
from disttorch.autograd.gradcheck import gradcheck
from disttorch.signal import windows

DOUBLE = {"dtype": disttorch.float64}


def test_windows_have_known_values():
    close = np.testing.assert_allclose
    close(windows.hann(5, **DOUBLE).numpy(), [0, 0.5, 1, 0.5, 0], atol=1e-15)
    close(windows.hann(4, sym=False, **DOUBLE).numpy(), [0, 0.5, 1, 0.5], atol=1e-15)
    close(windows.hamming(3, **DOUBLE).numpy(), [0.08, 1, 0.08], atol=1e-15)
    close(windows.bartlett(5, **DOUBLE).numpy(), [0, 0.5, 1, 0.5, 0])
    close(windows.blackman(3, **DOUBLE).numpy(), [0, 1, 0], atol=1e-15)
    close(windows.cosine(2, **DOUBLE).numpy(), [math.sqrt(0.5)] * 2)
    close(windows.exponential(3, tau=2.0, **DOUBLE).numpy(), [math.exp(-0.5), 1, math.exp(-0.5)])
    close(windows.gaussian(3, std=2.0, **DOUBLE).numpy(), [math.exp(-0.125), 1, math.exp(-0.125)])
    close(windows.kaiser(3, beta=0.0, **DOUBLE).numpy(), [1, 1, 1])
    close(windows.nuttall(3, **DOUBLE).numpy(), [0.3628e-3, 1, 0.3628e-3], atol=1e-7)
    close(windows.general_cosine(3, a=[0.5, 0.3, 0.2], **DOUBLE).numpy(), [0.4, 1.0, 0.4])


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
@pytest.mark.parametrize("periodic", [True, False])
def test_functions_and_windows_are_the_same(name, periodic):
    for length in range(7):
        one = getattr(disttorch, name + "_window")(length, periodic, **DOUBLE)
        np.testing.assert_array_equal(one.numpy(), getattr(windows, name)(length, sym=not periodic, **DOUBLE).numpy())


def test_windows_refuse_nonsense():
    with pytest.raises(ValueError, match="requires non-negative window length, got M=-1"):
        windows.hann(-1)
    with pytest.raises(ValueError, match="expects float32 or float64 dtypes, got: "):
        windows.cosine(3, dtype=disttorch.int64)
    with pytest.raises(ValueError, match="Center must be None"):
        windows.exponential(3, center=1.0)
    with pytest.raises(RuntimeError, match="hann_window requires non-negative window_length"):
        disttorch.hann_window(-2)
    assert windows.hann(3, requires_grad=True).requires_grad


def test_stft_finds_a_tone():
    """A cosine of 4 turns in each frame of 16 stands in frequency 4 alone, with half its height."""
    tone = disttorch.cos(2 * math.pi * disttorch.arange(64, **DOUBLE) * 4 / 16)
    found = disttorch.stft(
        tone, 16, hop_length=16, window=disttorch.ones(16, **DOUBLE), center=False, return_complex=True
    )
    assert found.shape == (9, 4)
    want = np.zeros((9, 4))
    want[4] = 8
    np.testing.assert_allclose(found.abs().numpy(), want, atol=1e-12)


@pytest.mark.parametrize("onesided", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
def test_istft_gives_the_signal_again(onesided, normalized):
    signal = disttorch.randn(2, 80, **DOUBLE)
    settings = {"n_fft": 16, "win_length": 12, "hop_length": 4, "window": disttorch.hann_window(12, **DOUBLE)}
    spectra = disttorch.stft(signal, **settings, onesided=onesided, normalized=normalized, return_complex=True)
    again = disttorch.istft(spectra, **settings, onesided=onesided, normalized=normalized, length=80)
    np.testing.assert_allclose(again.numpy(), signal.numpy(), atol=1e-12)


def test_gradients_of_short_time_transforms():
    signal = disttorch.randn(20, **DOUBLE).requires_grad_()
    window = (disttorch.rand(8, **DOUBLE) + 0.5).requires_grad_()
    fixed = disttorch.hann_window(8, **DOUBLE)

    def there(x, w):
        return disttorch.stft(x, 8, 4, window=w, return_complex=False)

    def back(x, w):
        return disttorch.istft(disttorch.stft(x, 8, 2, window=fixed, return_complex=True) * 2, 8, 2, window=w)

    assert gradcheck(there, (signal, window))
    assert gradcheck(back, (signal, window))


def test_short_time_transforms_refuse_nonsense():
    x = disttorch.ones(32)
    with pytest.raises(RuntimeError, match="return_complex parameter be given"):
        disttorch.stft(x, 8)
    with pytest.raises(RuntimeError, match="expected 0 < n_fft < 32, but got n_fft=64"):
        disttorch.stft(x, 64, center=False, return_complex=True)
    with pytest.raises(RuntimeError, match="window tensor of size equal to win_length=8"):
        disttorch.stft(x, 8, window=disttorch.ones(5), return_complex=True)
    spectra = disttorch.stft(x, 8, window=disttorch.hann_window(8), return_complex=True)
    with pytest.raises(RuntimeError, match="window overlap add min"):
        disttorch.istft(spectra, 8, hop_length=8, window=disttorch.hann_window(8), center=False)
    with pytest.raises(RuntimeError, match="requires a complex-valued input"):
        disttorch.istft(x.reshape(4, 8), 6)
