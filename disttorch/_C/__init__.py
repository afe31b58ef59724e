"""torch._C: what libraries call of PyTorch's compiled part. There is none here."""

from importlib import import_module

_TensorMeta = type  # the class of the class Tensor
_ROOMS = ("_distributed_c10d", "_nn")
_DISPATCH = {
    "DisableTorchFunctionSubclass": "DisableTorchFunctionSubclass",
    "_disabled_torch_function_impl": "disabled_torch_function",
}


def _cuda_isInBadFork() -> bool:
    """False."""
    return False


def _log_api_usage_once(event: str) -> None:
    """Nothing is counted or sent."""


def __getattr__(name: str):
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name in _DISPATCH:
        return getattr(import_module("..dispatch", __name__), _DISPATCH[name])
    if name == "Future":
        return import_module("..futures", __name__).Future
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
