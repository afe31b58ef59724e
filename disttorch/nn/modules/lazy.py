"""Lazy modules: they learn the shapes of their parameters from the first input, and become ordinary ones then."""

from ..parameter import is_lazy


class LazyModuleMixin:
    """Stands before the ordinary class among the bases; a subclass defines `initialize_parameters(*inputs)`."""

    cls_to_become: type | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._initialize_hook = self.register_forward_pre_hook(_initialize, with_kwargs=True)
        self._load_hook = self._register_load_state_dict_pre_hook(self._materialize_from)

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer still waits for its shape."""
        return any(is_lazy(t) for t in (*self._parameters.values(), *self._buffers.values()))

    def initialize_parameters(self, *args, **kwargs):
        """Give the parameters the shapes that this input needs."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def _materialize(self, shapes: dict) -> None:
        """Give shapes, by name, to the parameters and buffers that wait for one, and fill them; a state_dict may have
        filled them already.
        """
        if self.has_uninitialized_params():
            for name, shape in shapes.items():
                if is_lazy(getattr(self, name)):
                    getattr(self, name).materialize(shape)
            super().reset_parameters()

    def reset_parameters(self):
        """At construction there is nothing to fill yet."""

    def _materialize_from(self, state_dict, prefix, *_):
        """A state_dict that has the shapes gives them to the parameters that wait for one."""
        for name, t in (*self._parameters.items(), *self._buffers.items()):
            value = state_dict.get(prefix + name)
            if is_lazy(t) and value is not None and not is_lazy(value):
                t.materialize(value.shape)

    def __deepcopy__(self, memo):
        """A copy with its own two hooks (the old ones are bound to the original)."""
        from copy import deepcopy

        again = self.__class__.__new__(self.__class__)
        memo[id(self)] = again
        own = ("_initialize_hook", "_load_hook", "_forward_pre_hooks", "_load_state_dict_pre_hooks")
        again.__dict__.update({k: deepcopy(v, memo) for k, v in self.__dict__.items() if k not in own})
        again._forward_pre_hooks, again._load_state_dict_pre_hooks = {}, {}
        again._initialize_hook = again.register_forward_pre_hook(_initialize, with_kwargs=True)
        again._load_hook = again._register_load_state_dict_pre_hook(again._materialize_from)
        return again


def _initialize(module, args, kwargs):
    """Before the first forward."""
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(
            f"module {module._get_name()} has not been fully initialized: initialize_parameters left a parameter "
            "without shape"
        )
    module._initialize_hook.remove()
    module._load_hook.remove()
    del module._initialize_hook, module._load_hook
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become
