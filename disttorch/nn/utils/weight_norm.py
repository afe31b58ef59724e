"""Weight norm by a hook before each forward: the older form, whose state_dict has `weight_g` and `weight_v`."""

import warnings

from ..modules.module import Module
from ..parameter import Parameter, is_lazy
from . import norms


class WeightNorm:
    """The hook: it sets `module.<name>` to v·g/|v|."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module):
        return norms.weight_norm(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)

    def __call__(self, module: Module, inputs):
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Deprecated: use `nn.utils.parametrizations.weight_norm`. -> the module."""
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    if any(isinstance(hook, WeightNorm) and hook.name == name for hook in module._forward_pre_hooks.values()):
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight = getattr(module, name)
    if is_lazy(weight):
        raise ValueError(
            "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure to run the dummy forward "
            "before applying weight normalization"
        )
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(norms.norm_except(weight.data, hook.dim)))
    module.register_parameter(name + "_v", Parameter(weight.data))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again; -> the module. ValueError if it has no weight norm."""
    found = [(k, h) for k, h in module._forward_pre_hooks.items() if isinstance(h, WeightNorm) and h.name == name]
    if not found:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    number, hook = found[0]
    weight = hook.compute_weight(module)
    for attribute in (name, name + "_g", name + "_v"):
        delattr(module, attribute)
    setattr(module, name, Parameter(weight.data))
    del module._forward_pre_hooks[number]
    return module
