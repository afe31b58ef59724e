"""Pruning: parameters of which a part is held at zero by a mask (torch.nn.utils.prune).

A pruned parameter `weight` is the product of the parameter `weight_orig` and the buffer `weight_mask`, made anew before
each forward; `remove` makes it a plain parameter again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import Any

from ... import ops
from ...tensors import Tensor
from ..modules.module import Module
from .convert_parameters import parameters_to_vector


class BasePruningMethod(ABC):
    """A way to choose what is pruned; it is also the hook that prunes. Subclasses say PRUNING_TYPE and compute_mask."""

    PRUNING_TYPE: str  # "unstructured", "structured" or "global": what a further pruning of the same tensor sees
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of scores `t`: ones and zeros in its shape, and no one where `default_mask` has none."""

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned tensor."""
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any):
        """Prune `module.<name>` by the method `cls(*args, **kwargs)`, after what pruned it before; -> the hook.

        importance_scores: what decides instead of the tensor's own elements, in its shape.
        """
        before = [(k, h) for k, h in module._forward_pre_hooks.items() if _prunes(h, name)]
        if len(before) > 1:
            raise AssertionError(
                f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a "
                "PruningContainer."
            )
        method = cls(*args, **kwargs)
        method._tensor_name = name
        if before:
            container = before[0][1]
            if not isinstance(container, PruningContainer):
                container = PruningContainer(container)
            container.add_pruning_method(method)
            method = container

        current = getattr(module, name)
        scores = current if importance_scores is None else importance_scores
        if scores.shape != current.shape:
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}")
        if not before:
            module.register_parameter(name + "_orig", current)
            del module._parameters[name]
            mask = ops.ones_like(current)
        else:
            mask = getattr(module, name + "_mask").detach().clone()
        try:
            module.register_buffer(name + "_mask", method.compute_mask(scores, default_mask=mask))
            setattr(module, name, method.apply_mask(module))
            if before:
                del module._forward_pre_hooks[before[0][0]]
            module.register_forward_pre_hook(method)
        except Exception:
            if not before:
                original = module._parameters.pop(name + "_orig")
                module.register_parameter(name, original)
            raise
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """`t` with what this method prunes at zero; no module is changed."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        mask = ops.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor a plain parameter; the mask is gone."""
        name = self._tensor_name
        pruned = self.apply_mask(module)
        delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        original.data = pruned.data
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Methods that prune the same tensor one after the other: each sees what the former have left."""

    def __init__(self, *args: BasePruningMethod):
        self._pruning_methods: tuple = ()
        if not args:
            return
        self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The last method's mask, within `default_mask`, which the others have made."""
        method = self._pruning_methods[-1]
        part = _left(method, default_mask)
        mask = default_mask.clone().to(dtype=t.dtype)
        mask[part] = method.compute_mask(t[part], default_mask=default_mask[part]).to(dtype=t.dtype)
        return mask


def _left(method: BasePruningMethod, mask: Tensor) -> Any:
    """The index of what is not pruned yet, as a method of this kind sees it."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE == "global":
        return tuple([slice(None)] * mask.ndim)
    if method.PRUNING_TYPE != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
    if not hasattr(method, "dim"):
        raise AttributeError("Pruning methods of PRUNING_TYPE 'structured' need to have the attribute `dim` defined.")
    dim = _valid_dim(mask, method.dim)
    others = [d for d in range(mask.ndim) if d != dim]
    return (*[slice(None)] * dim, mask.sum(dim=others) != 0)


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones to fill in."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes random elements. amount: a share from 0.0 to 1.0, or a number of elements."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float):
        self.amount = _checked_amount(amount)

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return _without_least(default_mask, -ops.rand_like(t), _count(self.amount, t.numel()))


class L1Unstructured(BasePruningMethod):
    """Prunes the elements of the least absolute value."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float):
        self.amount = _checked_amount(amount)

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return _without_least(default_mask, t.detach().abs(), _count(self.amount, t.numel()))


def _without_least(mask: Tensor, scores: Tensor, n: int) -> Tensor:
    mask = mask.clone()
    if n:
        mask.view(-1)[ops.topk(scores.reshape(-1), n, largest=False).indices] = 0
    return mask


class RandomStructured(BasePruningMethod):
    """Prunes random channels along `dim`."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1):
        self.amount, self.dim = _checked_amount(amount), dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        dim, n = _channels(t, self.dim, self.amount)
        if not n:
            return default_mask
        draws = ops.rand(t.shape[dim])
        return _of_channels(default_mask, dim, draws > ops.kthvalue(draws, n).values)


class LnStructured(BasePruningMethod):
    """Prunes the channels along `dim` of the least norm. n: the norm's order, as in `torch.norm`."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, n: float | str, dim: int = -1):
        self.amount, self.n, self.dim = _checked_amount(amount), n, dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        dim, n = _channels(t, self.dim, self.amount)
        if not n:
            return default_mask
        norms = ops.norm(t.detach(), p=self.n, dim=[d for d in range(t.ndim) if d != dim])
        kept = ops.zeros(t.shape[dim], dtype=default_mask.dtype)
        kept[ops.topk(norms, t.shape[dim] - n).indices.cpu()] = 1
        return _of_channels(default_mask, dim, kept)


def _channels(t: Tensor, dim: int, amount: float) -> tuple[int, int]:
    """(the dimension from the front, how many of its channels to prune)."""
    if t.ndim <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
            f"{t.shape} with {t.ndim} dims"
        )
    dim = _valid_dim(t, dim)
    return dim, _count(amount, t.shape[dim])


def _of_channels(mask: Tensor, dim: int, kept: Tensor) -> Tensor:
    shape = [1] * mask.ndim
    shape[dim] = -1
    return mask * kept.to(device=mask.device, dtype=mask.dtype).reshape(shape)


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask has zeros."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(f"mask shape {self.mask.shape} must match the tensor's, {default_mask.shape}")
        return default_mask * self.mask.to(dtype=default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Give `module.<name>` a mask of ones; -> the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune random elements of `module.<name>`; -> the module. amount: a share (float) or a number (int)."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Prune the elements of `module.<name>` that are closest to zero; -> the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune random channels of `module.<name>` along `dim`; -> the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: float, n: float | str, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prune the channels of `module.<name>` along `dim` with the least Ln norm; -> the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune `module.<name>` where `mask` is zero; -> the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod] | Callable,
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several tensors as if they were one: `parameters` are pairs of a module and a name.

    importance_scores: what decides instead of the tensors' elements, for some of the pairs.
    TypeError unless the method is unstructured.
    """
    pairs = list(parameters)
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    given = importance_scores or {}
    scores = parameters_to_vector([given.get((module, name), getattr(module, name)) for module, name in pairs])
    masks = parameters_to_vector(
        [getattr(module, name + "_mask", ops.ones_like(getattr(module, name))) for module, name in pairs]
    )
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    container = PruningContainer(method)
    mask, start = container.compute_mask(scores, masks), 0
    for module, name in pairs:
        tensor = getattr(module, name)
        custom_from_mask(module, name, mask[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def _prunes(hook: Any, name: str) -> bool:
    return isinstance(hook, BasePruningMethod) and hook._tensor_name == name


def remove(module: Module, name: str) -> Module:
    """Make the pruned `module.<name>` a plain parameter, zeros included; -> the module. ValueError if not pruned."""
    for key, hook in module._forward_pre_hooks.items():
        if _prunes(hook, name):
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether a tensor of the module, or of one inside it, is pruned."""
    return any(isinstance(h, BasePruningMethod) for m in module.modules() for h in m._forward_pre_hooks.values())


def _checked_amount(amount: float) -> float:
    if not isinstance(amount, Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (not isinstance(amount, Integral) and amount > 1):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
    return amount


def _count(amount: float, size: int) -> int:
    """How many of `size` are pruned. ValueError if there are not so many."""
    if not isinstance(amount, Integral):
        return round(amount * size)
    if amount > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
    return int(amount)


def _valid_dim(t: Tensor, dim: int) -> int:
    if not -t.ndim <= dim < t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")
    return dim % t.ndim
