"""Switches of compute backends that scripts set. Those without a meaning here are kept and read back."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace


class _Switches(ModuleType):
    """A module (`import torch.backends.cudnn`) of settings, and `is_available()`."""

    def __init__(self, name: str, _available, **settings):
        super().__init__(f"{__name__}.{name}")
        self.__spec__ = ModuleSpec(self.__name__, None)
        self._available = _available
        vars(self).update(settings)
        sys.modules[self.__name__] = self

    def is_available(self) -> bool:
        return self._available()

    is_built = is_available

    def flags(self, enabled: bool | None = None, **settings):
        """`with flags(enabled=False):` changes settings inside."""
        return _Flags(self, settings if enabled is None else {"enabled": enabled, **settings})


class _Flags:
    def __init__(self, switches, settings):
        self._switches, self._settings = switches, settings

    def __enter__(self):
        self._before = {k: getattr(self._switches, k, None) for k in self._settings}
        vars(self._switches).update(self._settings)

    def __exit__(self, *exc):
        vars(self._switches).update(self._before)


def flags_frozen() -> bool:
    """Whether switches can be set inside `flags()` alone: never here."""
    return False


def _cuda() -> bool:
    from ..devices import device_count

    return device_count() > 0


def _onednn() -> bool:
    from ..kernels import for_device

    return "onednn" in type(for_device("cpu")).__module__


cudnn = _Switches(
    "cudnn", _available=_cuda, enabled=True, benchmark=False, deterministic=True, allow_tf32=True, version=lambda: None
)
cuda = _Switches(
    "cuda",
    _available=_cuda,
    matmul=SimpleNamespace(
        allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True
    ),
)
mps = _Switches("mps", _available=lambda: False)
mkl = _Switches("mkl", _available=lambda: False)
mkldnn = _Switches("mkldnn", _available=_onednn, enabled=True)
openmp = _Switches("openmp", _available=_onednn)
