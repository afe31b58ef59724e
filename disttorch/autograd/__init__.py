"""The graph and its gradients: torch.autograd's names."""

from importlib import import_module

from .gradcheck import gradcheck, gradgradcheck  # not later: the function, not the module, is `autograd.gradcheck`

_HOMES = {
    "gradients": "backward grad",
    "function": "Function FunctionCtx once_differentiable",
    "mode": ("enable_grad inference_mode is_grad_enabled is_inference_mode_enabled no_grad set_grad_enabled"),
    "anomaly": "detect_anomaly is_anomaly_enabled set_detect_anomaly",
    "legacy": "Variable _is_checkpoint_valid",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted([name for name in (*_HOME_OF, "gradcheck", "gradgradcheck") if name[0] != "_"])


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    if name in ("functional", "profiler", "graph", "forward_ad"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
