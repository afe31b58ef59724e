"""Hooks of modules: registering them, and the way a call takes when there are some.

A hook table maps a handle's id to a function; the side tables `..._with_kwargs` and `..._always_called` hold the ids of
the hooks that were registered so.
"""

import warnings

from ...autograd.function import Function
from ...autograd.mode import mode
from ...autograd.node import RemovableHandle
from ...autograd.variable import Tensor


class _Tables:
    """The hooks of all modules."""

    def __init__(self):
        self.forward_pre, self.forward, self.backward, self.backward_pre = {}, {}, {}, {}
        self.with_kwargs, self.always_called = {}, {}
        self.buffer, self.module, self.parameter = {}, {}, {}
        self.calls = {}  # ids of all that concern a call, for one quick look
        self.full_backward: bool | None = None  # None: no backward hook yet


everywhere = _Tables()


def _add(table: dict, hook, marks=(), prepend: bool = False) -> RemovableHandle:
    """Register `hook` in `table`, and its id in every side table of `marks`."""
    handle = RemovableHandle(table, *marks)
    if prepend:
        rest = dict(table)
        table.clear()
        table[handle.id] = hook
        table.update(rest)
    else:
        table[handle.id] = hook
    for mark in marks:
        mark[handle.id] = True
    return handle


# -- hooks of all modules ---------------------------------------------------------------------------------------------
def register_module_forward_pre_hook(hook) -> RemovableHandle:
    """`hook(module, args)` before the forward of every module; what it returns replaces args."""
    return _add(everywhere.forward_pre, hook, [everywhere.calls])


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False) -> RemovableHandle:
    """`hook(module, args, output)` after the forward of every module; what it returns replaces the output."""
    marks = [everywhere.with_kwargs] * with_kwargs + [everywhere.always_called] * always_call
    return _add(everywhere.forward, hook, [everywhere.calls, *marks])


def register_module_backward_hook(hook) -> RemovableHandle:
    """The old `hook(module, grad_input, grad_output)` of every module; see `Module.register_backward_hook`."""
    return _add_backward_everywhere(hook, full=False)


def register_module_full_backward_hook(hook) -> RemovableHandle:
    """`hook(module, grad_input, grad_output)` after the backward of every module."""
    return _add_backward_everywhere(hook, full=True)


def _add_backward_everywhere(hook, full: bool) -> RemovableHandle:
    if everywhere.full_backward is (not full):
        raise RuntimeError(_ONE_KIND.format("as a global Module hook"))
    everywhere.full_backward = full
    return _add(everywhere.backward, hook, [everywhere.calls])


def register_module_full_backward_pre_hook(hook) -> RemovableHandle:
    """`hook(module, grad_output)` before the backward of every module."""
    return _add(everywhere.backward_pre, hook, [everywhere.calls])


def register_module_buffer_registration_hook(hook) -> RemovableHandle:
    """`hook(module, name, buffer)` whenever a module registers a buffer; what it returns is registered instead."""
    return _add(everywhere.buffer, hook)


def register_module_module_registration_hook(hook) -> RemovableHandle:
    """`hook(module, name, child)` whenever a module registers a child; what it returns is registered instead."""
    return _add(everywhere.module, hook)


def register_module_parameter_registration_hook(hook) -> RemovableHandle:
    """`hook(module, name, parameter)` whenever a module registers a parameter; what it returns is registered
    instead.
    """
    return _add(everywhere.parameter, hook)


def registered(table: dict, module, name: str, value):
    """What the registration hooks of `table` make of `value`."""
    for hook in table.values():
        changed = hook(module, name, value)
        if changed is not None:
            value = changed
    return value


_ONE_KIND = "Cannot use both regular backward hooks and full backward hooks {}. Please use only one of them."


# -- hooks of one module ----------------------------------------------------------------------------------------------
class Hooks:
    """The part of Module that registers hooks. Each method returns a handle with a method `remove()`."""

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False) -> RemovableHandle:
        """`hook(module, args)` before every forward; a value other than None replaces args (one value: args of one).

        with_kwargs: `hook(module, args, kwargs)`, which may return (args, kwargs); prepend: before all others.
        """
        return _add(self._forward_pre_hooks, hook, [self._forward_pre_hooks_with_kwargs] * with_kwargs, prepend)

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False) -> RemovableHandle:
        """`hook(module, args, output)` after every forward; a value other than None replaces the output.

        with_kwargs: `hook(module, args, kwargs, output)`; always_call: also when forward raises (output is None).
        """
        marks = [self._forward_hooks_with_kwargs] * with_kwargs + [self._forward_hooks_always_called] * always_call
        return _add(self._forward_hooks, hook, marks, prepend)

    def register_full_backward_hook(self, hook, prepend=False) -> RemovableHandle:
        """`hook(module, grad_input, grad_output)` when the gradients of the inputs are known.

        The gradients are tuples, None for what is no tensor; a tuple returned replaces grad_input. Only positional
        arguments count. Inputs and outputs must not be changed in place.
        """
        self._one_kind_of_backward_hook(full=True)
        return _add(self._backward_hooks, hook, prepend=prepend)

    def register_full_backward_pre_hook(self, hook, prepend=False) -> RemovableHandle:
        """`hook(module, grad_output)` before the module's backward; a tuple returned replaces grad_output."""
        return _add(self._backward_pre_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook) -> RemovableHandle:
        """`hook(module, grad_input, grad_output)` of the last operation alone. Use register_full_backward_hook."""
        self._one_kind_of_backward_hook(full=False)
        return _add(self._backward_hooks, hook)

    def _one_kind_of_backward_hook(self, full: bool):
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(_ONE_KIND.format("on a single Module"))
        self._is_full_backward_hook = full

    def register_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """`hook(module, prefix, keep_vars)` before `state_dict` reads this module."""
        return _add(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook) -> RemovableHandle:
        """`hook(module, state_dict, prefix, local_metadata)`, which may change the state_dict in place."""
        return _add(self._state_dict_hooks, hook, [self._state_dict_hooks_in_place])

    def _register_state_dict_hook(self, hook) -> RemovableHandle:
        """Like `register_state_dict_post_hook`, but a dictionary that it returns takes the place of the old one."""
        return _add(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """`hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`."""
        return _add(self._load_state_dict_pre_hooks, hook, [self._load_state_dict_pre_hooks_with_module])

    def _register_load_state_dict_pre_hook(self, hook, with_module=False) -> RemovableHandle:
        """Like `register_load_state_dict_pre_hook`; the module is only handed over if asked for."""
        return _add(self._load_state_dict_pre_hooks, hook, [self._load_state_dict_pre_hooks_with_module] * with_module)

    def register_load_state_dict_post_hook(self, hook) -> RemovableHandle:
        """`hook(module, incompatible_keys)` after the module was loaded; it may change the two lists of keys."""
        return _add(self._load_state_dict_post_hooks, hook)


# -- a call with hooks ------------------------------------------------------------------------------------------------
def call_with_hooks(module, args: tuple, kwargs: dict):
    """What `module(*args, **kwargs)` does when there are hooks."""
    called: set[int] = set()  # the always-called hooks that have run
    seen = [args, kwargs]  # as the pre-hooks left them
    try:
        return _call(module, seen, called)
    except Exception:
        _call_the_rest(module, *seen, called)
        raise


def _call(module, seen: list, called: set):
    args, kwargs = seen
    for hook, with_kwargs in _forward_pre_hooks(module):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        seen[:] = args, kwargs

    full, old = _backward_hooks(module)
    pre = [*everywhere.backward_pre.values(), *module._backward_pre_hooks.values()]
    watch = _BackwardWatch(module, full, pre) if full or pre else None
    if watch is not None:
        args = watch.inputs(args)
    result = module.forward(*args, **kwargs)

    for number, hook, with_kwargs, always in _forward_hooks(module):
        if always:
            called.add(number)
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if changed is not None:
            result = changed

    if watch is not None:
        if not isinstance(result, Tensor | tuple):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                f"received {type(result)}",
                stacklevel=4,
            )
        result = watch.outputs(result)
    if old:
        _watch_last_node(module, old, result)
    return result


def _forward_pre_hooks(module) -> list:
    return [(h, False) for h in everywhere.forward_pre.values()] + [
        (h, k in module._forward_pre_hooks_with_kwargs) for k, h in module._forward_pre_hooks.items()
    ]


def _forward_hooks(module) -> list:
    return [
        (k, h, k in everywhere.with_kwargs, k in everywhere.always_called) for k, h in everywhere.forward.items()
    ] + [
        (k, h, k in module._forward_hooks_with_kwargs, k in module._forward_hooks_always_called)
        for k, h in module._forward_hooks.items()
    ]


def _backward_hooks(module) -> tuple[list, list]:
    """(full, old) backward hooks."""
    found: tuple[list, list] = ([], [])
    found[not everywhere.full_backward].extend(everywhere.backward.values())
    found[not module._is_full_backward_hook].extend(module._backward_hooks.values())
    return found


def _call_the_rest(module, args, kwargs, called: set):
    """forward has raised: run the always-called hooks that have not run."""
    for number, hook, with_kwargs, always in _forward_hooks(module):
        if not always or number in called:
            continue
        try:
            if with_kwargs:
                hook(module, args, kwargs, None)
            else:
                hook(module, args, None)
        except Exception as e:
            warnings.warn(
                "module forward hook with ``always_call=True`` raised an exception that was silenced as another error "
                f"was raised in forward: {e}",
                stacklevel=4,
            )


# -- gradients that pass a module -------------------------------------------------------------------------------------
class BackwardHookFunction(Function):
    """The identity of several tensors, as one node."""

    @staticmethod
    def forward(ctx, *tensors):
        return tensors

    @staticmethod
    def backward(ctx, *grads):
        return grads


class _BackwardWatch:
    """One call of a module: a node at its inputs and one at its outputs see the gradients pass."""

    def __init__(self, module, hooks: list, pre_hooks: list):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_outputs: tuple | None = None
        self.where_in: list | None = None  # positions of the tensors among the arguments, if gradients reach them
        self.count_in = 0

    def inputs(self, args: tuple) -> tuple:
        self.count_in = len(args)
        args, self.where_in, node = _through_node(args)
        if node is not None:
            node.register_hook(self._at_inputs)
        return args

    def outputs(self, result):
        several = result if isinstance(result, tuple) else (result,)
        made, where, node = _through_node(several)
        if node is not None:
            node.register_hook(lambda _, grads: self._at_outputs(grads, where, len(several)))
        return made if isinstance(result, tuple) else made[0]

    def _at_outputs(self, grads: tuple, where: list, count: int) -> tuple:
        self.grad_outputs = _spread(where, grads, count)
        for hook in self.pre_hooks:
            changed = hook(self.module, self.grad_outputs)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != count:
                raise RuntimeError(
                    f"Backward pre hook returned an invalid number of grad_output, got {len(changed)}, but expected "
                    f"{count}"
                )
            self.grad_outputs = changed
        passed = self.grad_outputs
        if self.where_in is None:
            self._without_gradient_inputs()
        return tuple(passed[i] for i in where)

    def _without_gradient_inputs(self):
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since no "
            "inputs require gradients. See https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html"
            "#torch.nn.Module.register_full_backward_hook for more details.",
            stacklevel=2,
        )
        for hook in self.hooks:
            changed = hook(self.module, (None,) * self.count_in, self.grad_outputs)
            if changed is not None and not (isinstance(changed, tuple) and all(c is None for c in changed)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None for "
                    "all gradients."
                )
        self.grad_outputs = None

    def _at_inputs(self, grads: tuple, _):
        if self.grad_outputs is None:  # a gradient that did not come through the outputs (double backward)
            return None
        inputs = _spread(self.where_in, grads, self.count_in)
        for hook in self.hooks:
            changed = hook(self.module, inputs, self.grad_outputs)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(inputs):
                raise RuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(changed)}, but expected "
                    f"{len(inputs)}"
                )
            inputs = changed
        self.grad_outputs = None
        return tuple(inputs[i] for i in self.where_in)


def _through_node(values: tuple) -> tuple:
    """(values with their tensors sent through one node, where these are, the node); (values, None, None) without
    gradient.
    """
    where = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
    if not (mode.grad and any(values[i].requires_grad for i in where)):
        return values, None, None
    passed = BackwardHookFunction.apply(*[values[i] for i in where])
    made = list(values)
    for i, t in zip(where, passed, strict=True):
        made[i] = t
    node = next(t.grad_fn for t in passed if t.grad_fn is not None)
    return (tuple(made) if type(values) is tuple else type(values)(*made)), where, node


def _spread(where: list, values: tuple, count: int) -> tuple:
    found = dict(zip(where, values, strict=True))
    return tuple(found.get(i) for i in range(count))


def _watch_last_node(module, hooks: list, result):
    """The old backward hooks see the gradients of the output's own node."""
    t = result
    while not isinstance(t, Tensor):
        t = next((v for v in t.values() if isinstance(v, Tensor)), None) if isinstance(t, dict) else t[0]
    if t.grad_fn is not None:
        for hook in hooks:
            t.grad_fn.register_hook(lambda inputs, outputs, hook=hook: hook(module, inputs, outputs))
