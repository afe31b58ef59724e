"""Switches of compute backends that scripts set. Those without a meaning here are kept and read back."""

from types import SimpleNamespace


class _Switches(SimpleNamespace):
    """Settings as attributes, and `is_available()`."""

    def is_available(self) -> bool:
        return self._available()

    is_built = is_available

    def flags(self, **settings):
        """`with flags(enabled=False):` changes settings inside."""
        return _Flags(self, settings)


class _Flags:
    def __init__(self, switches, settings):
        self._switches, self._settings = switches, settings

    def __enter__(self):
        self._before = {k: getattr(self._switches, k, None) for k in self._settings}
        vars(self._switches).update(self._settings)

    def __exit__(self, *exc):
        vars(self._switches).update(self._before)


def _cuda() -> bool:
    from ..devices import device_count

    return device_count() > 0


def _onednn() -> bool:
    from ..kernels import for_device

    return "onednn" in type(for_device("cpu")).__module__


cudnn = _Switches(
    _available=_cuda, enabled=True, benchmark=False, deterministic=True, allow_tf32=True, version=lambda: None
)
cuda = _Switches(
    _available=_cuda,
    matmul=SimpleNamespace(
        allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True
    ),
)
mps = _Switches(_available=lambda: False)
mkl = _Switches(_available=lambda: False)
mkldnn = _Switches(_available=_onednn, enabled=True)
openmp = _Switches(_available=_onednn)
