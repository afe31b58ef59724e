"""Spectral norm by a hook before each forward: the older form, whose state_dict has `weight_orig`, `weight_u`,
`weight_v`.
"""

from ...autograd.mode import no_grad
from ..modules.module import Module
from ..parameter import Parameter, is_lazy
from . import norms


class SpectralNorm:
    """The hook: it sets `module.<name>` to the original divided by its largest singular value."""

    _version = 1

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute_weight(self, module: Module, do_power_iteration: bool):
        weight, u, v = (getattr(module, self.name + suffix) for suffix in ("_orig", "_u", "_v"))
        matrix = norms.as_matrix(weight, self.dim)
        if do_power_iteration:
            norms.iterate(matrix, u, v, self.n_power_iterations, self.eps, u_first=False)
        return weight / norms.largest_singular_value(matrix, u, v)

    def __call__(self, module: Module, inputs):
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    def note_version(self, module, state_dict, prefix, local_metadata):
        """PyTorch reads from the state_dict which form it has."""
        local_metadata.setdefault("spectral_norm", {})[self.name + ".version"] = self._version


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """A weight divided by its largest singular value: Miyato et al. (2018). -> the module.

    `nn.utils.parametrizations.spectral_norm` is the newer form.
    """
    if any(isinstance(hook, SpectralNorm) and hook.name == name for hook in module._forward_pre_hooks.values()):
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    hook = SpectralNorm(name, n_power_iterations, norms.usual_dim(module) if dim is None else dim, eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    if is_lazy(weight):
        raise ValueError(
            "The module passed to `SpectralNorm` can't have uninitialized parameters. Make sure to run the dummy "
            "forward before applying spectral normalization"
        )
    u, v = norms.random_vectors(weight, hook.dim, eps)
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.data)
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(hook)
    module._register_state_dict_hook(hook.note_version)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again; -> the module. ValueError if it has no spectral norm."""
    found = [(k, h) for k, h in module._forward_pre_hooks.items() if isinstance(h, SpectralNorm) and h.name == name]
    if not found:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    number, hook = found[0]
    with no_grad():
        weight = hook.compute_weight(module, do_power_iteration=False)
    for suffix in ("", "_u", "_v", "_orig"):
        delattr(module, name + suffix)
    module.register_parameter(name, Parameter(weight.detach()))
    del module._forward_pre_hooks[number]
    for key, noting in list(module._state_dict_hooks.items()):
        if getattr(noting, "__self__", None) is hook:
            del module._state_dict_hooks[key]
    return module
