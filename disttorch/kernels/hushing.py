"""hushed: decorates functions in which NumPy is not to warn of infinities and NaNs; PyTorch's arithmetic does not."""

import functools

import numpy as np

try:  # what np.errstate works with: it makes the settings anew for every call, which takes longer than a small ufunc
    from numpy._core.umath import _extobj_contextvar as _settings
    from numpy._core.umath import _make_extobj
except ImportError:
    hushed = np.errstate(all="ignore")
else:
    _SILENCE = _make_extobj(all="ignore")

    def hushed(function):  # type: ignore[no-redef]
        @functools.wraps(function)
        def call(*args, **kwargs):
            before = _settings.set(_SILENCE)
            try:
                return function(*args, **kwargs) if kwargs else function(*args)
            finally:
                _settings.reset(before)

        return call


__all__ = ["hushed"]
