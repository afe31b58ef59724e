"""state_dict and load_state_dict: a module's parameters and persistent buffers by name, out and in."""

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Mapping

from ...autograd.mode import no_grad
from ...autograd.variable import Tensor
from ..parameter import Parameter, is_lazy

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` did not find and what it could not use."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class State:
    """The part of Module that hands its state out and takes it back."""

    def get_extra_state(self):
        """Further state for the state_dict; a subclass that has some defines this and `set_extra_state`."""
        raise RuntimeError(f"{type(self).__name__} has no extra state: define get_extra_state() and set_extra_state()")

    def set_extra_state(self, state):
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(f"{type(self).__name__} has no extra state: define get_extra_state() and set_extra_state()")

    def _has_own(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(State, name)

    # -- out ----------------------------------------------------------------------------------------------------------
    def state_dict(self, *args, destination=None, prefix="", keep_vars=False) -> dict:
        """Parameters and persistent buffers by dotted name, in an OrderedDict with an attribute `_metadata`.

        The tensors share the module's memory; they are detached unless `keep_vars`. `prefix` goes before every name;
        `destination` is a dictionary to fill.
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
                FutureWarning,
                stacklevel=2,
            )
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            destination = given.get("destination") if destination is None else destination
            prefix, keep_vars = prefix or given.get("prefix", ""), keep_vars or given.get("keep_vars", False)
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for number, hook in self._state_dict_hooks.items():
            changed = hook(self, destination, prefix, local_metadata)
            if changed is not None:
                if number in self._state_dict_hooks_in_place:
                    raise RuntimeError("state_dict post-hook must return None")
                destination = changed
        return destination

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """This module's own part; subclasses may add to it."""
        for name, t in self._own_state().items():
            destination[prefix + name] = t if keep_vars or is_lazy(t) else t.detach()
        if self._has_own("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _own_state(self) -> dict:
        """Name -> parameter or persistent buffer of this module alone, those that are None left out."""
        state = {k: p for k, p in self._parameters.items() if p is not None}
        kept_out = self._non_persistent_buffers_set
        state.update((k, b) for k, b in self._buffers.items() if b is not None and k not in kept_out)
        return state

    # -- in -----------------------------------------------------------------------------------------------------------
    def load_state_dict(self, state_dict: Mapping, strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copy the values of `state_dict` into parameters and buffers; -> the missing and the unexpected keys.

        strict: RuntimeError unless the keys are just those of this module's own `state_dict`. assign: the tensors of
        `state_dict` themselves become the module's. RuntimeError that lists every tensor of another shape.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)  # the hooks below may change it
        if metadata is not None:
            state_dict._metadata = metadata
        found = _IncompatibleKeys([], [])
        errors: list[str] = []
        _load(self, state_dict, "", metadata or {}, assign, found, errors)
        if strict:
            for keys, kind in ((found.unexpected_keys, "Unexpected"), (found.missing_keys, "Missing")):
                if keys:
                    names = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{kind} key(s) in state_dict: {names}. ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        return found

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """This module's own part; subclasses may add to it, for example to read what an older version wrote."""
        for number, hook in self._load_state_dict_pre_hooks.items():
            first = (self,) if number in self._load_state_dict_pre_hooks_with_module else ()
            hook(*first, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own = self._own_state()
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                error = _load_one(self, name, target, key, state_dict[key], assign)
                if error is not None:
                    error_msgs.append(error)
            elif strict:
                missing_keys.append(key)
        extra = prefix + EXTRA_STATE
        if self._has_own("set_extra_state"):
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    first, dot, _ = key[len(prefix) :].partition(".")
                    if first not in (self._modules if dot else own):
                        unexpected_keys.append(key)


def _load(module, state_dict, prefix: str, metadata, assign: bool, found: _IncompatibleKeys, errors: list):
    """Load a module and those below it."""
    local_metadata = dict(metadata.get(prefix[:-1], {}))
    if assign:
        local_metadata["assign_to_params_buffers"] = True
    module._load_from_state_dict(state_dict, prefix, local_metadata, True, *found, errors)
    for name, child in module._modules.items():
        if child is not None:
            start = f"{prefix}{name}."
            part = OrderedDict((k, v) for k, v in state_dict.items() if k.startswith(start))
            _load(child, part, start, metadata, assign, found, errors)
    for hook in module._load_state_dict_post_hooks.values():
        if hook(module, found) is not None:
            raise AssertionError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, "
                "if incompatible_keys need to be modified, it should be done inplace."
            )


def _load_one(module, name: str, target: Tensor, key: str, value, assign: bool) -> str | None:
    """Put `value` where `target` is; -> what stands against it, if anything."""
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", '
            "expected torch.Tensor or Tensor-like object from checkpoint but "
            f"received {type(value)}"
        )
    if not is_lazy(target):
        if target.ndim == 0 and value.shape == (1,):
            value = value[0]
        if value.shape != target.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the shape in "
                f"current model is {target.shape}."
            )
        if target.device.type == "meta" and value.device.type != "meta" and not assign:
            warnings.warn(
                f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current "
                "model, which is a no-op. (Did you mean to pass `assign=True` to assign items in the state dictionary "
                "to their corresponding key in the module instead of copying them in place?)",
                stacklevel=2,
            )
    try:
        with no_grad():
            if assign:
                setattr(module, name, _in_place_of(target, value))
            else:
                target.copy_(value)
    except Exception as e:
        return (
            f'While copying the parameter named "{key}", '
            f"whose dimensions in the model are {target.size()} and whose dimensions in "
            f"the checkpoint are {value.size()}, an exception occurred : {e.args}."
        )
    return None


def _in_place_of(target: Tensor, value: Tensor) -> Tensor:
    """`value`, a parameter if `target` is one, which then says whether it requires gradients."""
    if not isinstance(target, Parameter):
        return value
    if not isinstance(value, Parameter):
        return Parameter(value, requires_grad=target.requires_grad)
    return value.requires_grad_(target.requires_grad)
