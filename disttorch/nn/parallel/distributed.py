"""DistributedDataParallel: each rank has a replica and its share of the data; gradients are averaged during
backward.
"""

import contextlib
import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from ... import devices
from ...autograd.mode import is_grad_enabled
from ...autograd.node import Node
from ...autograd.variable import Tensor, edge
from ...distributed.algorithms.ddp_comm_hooks.default_hooks import averaged_in
from ...distributed.algorithms.join import Join, Joinable
from ...distributed.packing import broadcast_tensors
from ...distributed.process_group import ProcessGroup, resolve
from ..modules.module import Module
from ..parameter import is_lazy
from .bucket import GradBucket
from .data_parallel import prefixed
from .fingerprint import ValueCheck, check_structure
from .joining import ModelJoinHook
from .logging_data import logging_data
from .mixed_precision import _MixedPrecision, cast, cast_buffers, computing_in
from .reducer import Reducer
from .scatter_gather import moved_to

NOT_THERE = "delay_all_reduce_named_params param_to_hook_all_reduce".split()


class DistributedDataParallel(Module, Joinable):
    """Wraps `module` so that every rank's gradients become the average over the ranks of `process_group`.

    module: on one device (device_ids then is None or that device); its parameters and buffers become rank 0's.
    forward_sync_buffers: buffers (running means…) become rank 0's before each forward (default True). broadcast_buffers
    is its older name; if that is False, buffers are not rank 0's at the start either.
    bucket_cap_mb: MiB of gradients that travel together, 0 for each parameter alone. None: between 1 and 25, by what
    two short all-reduces are measured to take when the model is wrapped; 25 where that would change nothing (one rank,
    1 MiB of gradients in all), where ranks compute on all cores of a host, and where the gradients' bits would depend
    on it (MPI, and more than 8 ranks on several hosts: sums there depend on how arrays are cut).
    bucket_cap_mb_list: MiB of the first bucket of each kind, of the second…; the last number counts for all others.
    find_unused_parameters: parameters may get no gradient in a step; the graph is then walked after each forward.
    static_graph: the graph never changes: which parameters are used, and how often, is found in the first step, whose
    gradients travel at its end; parameters may be unused, and in several reentrant checkpoints.
    gradient_as_bucket_view, batched_grad_copy and skip_all_reduce_unused_params, which change no result, are accepted:
    gradients always are views of their buckets.
    mixed_precision: the dtypes in which the module computes and gradients are averaged.
    Its other arguments are PyTorch's; NOT_THERE lists those it refuses.
    The environment variable DISTTORCH_CHECK_PARAMETERS=N has the parameters' values compared over the ranks before the
    first step and every N steps (not inside `join`): a rank that has drifted is named, and the parameter.
    With N ranks and a loss that is a mean over the batch, a step equals one process's with the N-fold batch.

    Raises RuntimeError for a module without gradients, or whose parameters differ between ranks (naming the rank and
    the parameter); in backward, RuntimeError naming the parameters that got no gradient.
    """

    def __init__(
        self,
        module: Module,
        device_ids=None,
        output_device=None,
        dim: int = 0,
        broadcast_buffers: bool | None = None,
        init_sync: bool = True,
        process_group: ProcessGroup | None = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        delay_all_reduce_named_params=None,
        param_to_hook_all_reduce=None,
        mixed_precision: _MixedPrecision | None = None,
        device_mesh=None,
        skip_all_reduce_unused_params: bool = False,
        bucket_cap_mb_list: list[int] | None = None,
        batched_grad_copy: bool = False,
        forward_sync_buffers: bool | None = None,
    ):
        super().__init__()
        Joinable.__init__(self)
        for name in NOT_THERE:
            if locals()[name] is not None:
                raise NotImplementedError(f"DistributedDataParallel's {name} is not supported: leave it None")
        if broadcast_buffers is not None:
            _warn_of_older_name(forward_sync_buffers is not None)
        if device_mesh is not None:
            process_group = _group_of(device_mesh, process_group)
        self.process_group, self.device_mesh = resolve(process_group), device_mesh
        self._comm = self.process_group.comm
        ignored = _ignored(module)
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad and n not in ignored]
        if not named:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameters that require a "
                "gradient."
            )
        if any(is_lazy(p) for _, p in named):
            raise RuntimeError(
                "Modules with uninitialized parameters can't be used with `DistributedDataParallel`. Run a dummy "
                "forward pass to correctly initialize the modules"
            )
        if device_ids is not None and len(device_ids) > 1:
            raise ValueError("device_ids can only be None or contain a single element.")
        self.device = _one_device(named, device_ids)
        self.device_ids = None if not device_ids else [self.device.index]
        self.output_device = self.device.index if self.device_ids else None
        given = broadcast_buffers if forward_sync_buffers is None else forward_sync_buffers
        self.module, self.dim, self.broadcast_buffers = module, dim, given is None or bool(given)
        self.find_unused_parameters, self.static_graph = find_unused_parameters or static_graph, static_graph
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        if bucket_cap_mb is not None and bucket_cap_mb < 0:
            raise ValueError(f"bucket_cap_mb must not be negative, got {bucket_cap_mb}")
        if init_sync:
            check_structure(self._comm, named)
            broadcast_tensors(self._comm, self.shared_parameters(), 0)
            if forward_sync_buffers is not None or self.broadcast_buffers:
                broadcast_tensors(self._comm, self.shared_buffers(), 0)
        names, parameters = [n for n, _ in named], [p for _, p in named]
        self.bucket_bytes_cap_list = [int(mb * (1 << 20)) for mb in bucket_cap_mb_list or ()]
        cap = None if bucket_cap_mb is None else max(int(bucket_cap_mb * (1 << 20)), 1)
        caps = self.bucket_bytes_cap_list or cap
        self.reducer = Reducer(self._comm, parameters, names, caps, self.find_unused_parameters)
        self.reducer.static = static_graph
        self.bucket_bytes_cap = max(self.bucket_bytes_cap_list, default=self.reducer.cap_bytes)
        self.gradient_as_bucket_view, self.mixed_precision = gradient_as_bucket_view, mixed_precision
        if mixed_precision is not None:
            self._set_up(mixed_precision)
        self._value_check = ValueCheck(self._comm, named)
        self._joining: ModelJoinHook | None = None  # of the present `Join` block, or of the last one

    def forward(self, *inputs, **kwargs):
        inputs, kwargs = self._pre_forward(*inputs, **kwargs)
        dtype = None if self.mixed_precision is None else self.mixed_precision.param_dtype
        if dtype is None:
            return self._post_forward(self.module(*inputs, **kwargs))
        with computing_in(dtype, self.module, _ignored(self.module)):
            output = self.module(*cast(inputs, dtype), **cast(kwargs, dtype))
        return self._post_forward(output)

    def _pre_forward(self, *inputs, **kwargs):
        """What comes before the module's forward: (its positional arguments, its keyword arguments)."""
        self._syncing = syncing = is_grad_enabled() and self.require_backward_grad_sync
        source = 0
        if self._joining is not None and self._join_config.enable:
            Join.notify_join_context(self)
            source = self._joining.announce(syncing)
        elif syncing:
            self._value_check.step()
        if self.broadcast_buffers and self.require_forward_param_sync:
            self.share_buffers(source)
        if self.device_ids:
            inputs, kwargs = moved_to(inputs, self.device), moved_to(kwargs, self.device)
        return inputs, kwargs

    def _post_forward(self, output):
        """What comes after it: its output, through which backward will find the reducer ready."""
        self.require_forward_param_sync = self._syncing
        if self._syncing:
            self.reducer.expect(self._find_unused(output))
            self._await_end(output)
        return output

    @contextlib.contextmanager
    def no_sync(self):
        """Gradients accumulate on each rank alone for forwards inside; the first backward outside averages their
        sum.
        """
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False
    ) -> Join:
        """A block for ranks with different numbers of batches: a rank that has left it answers the others' collectives
        with zeros. `Join([model, ...])` does the same for several joinables.

        Averages are over all ranks, or with divide_by_initial_world_size=False over those that still have batches. With
        throw_on_early_termination every rank raises RuntimeError as soon as one has none left. In the end all have the
        parameters and buffers of a rank that was among the last.
        """
        options = {"divide_by_initial_world_size": divide_by_initial_world_size}
        return Join([self], enable, throw_on_early_termination, **options)

    def join_hook(self, **kwargs: Any) -> ModelJoinHook:
        """This rank's part in a `Join` block. divide_by_initial_world_size: see `join`."""
        self._joining = ModelJoinHook(self, kwargs.get("divide_by_initial_world_size", True))
        return self._joining

    @property
    def join_device(self) -> devices.device:
        return self.device

    @property
    def join_process_group(self) -> ProcessGroup:
        return self.process_group

    def register_comm_hook(self, state: Any, hook: Callable) -> None:
        """Let `hook(state, bucket) -> Future[Tensor]` take the place of averaging; once, before training.

        bucket: a GradBucket; see `disttorch.distributed.algorithms.ddp_comm_hooks` for hooks that compress.
        """
        _check_hook(hook)
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self.reducer.set_hook(partial(hook, state))
        self.comm_hook_name = getattr(hook, "__qualname__", type(hook).__qualname__)

    def _register_builtin_comm_hook(self, comm_hook_type: Any) -> None:
        """Register one of `distributed.BuiltinCommHookType`."""
        if self.reducer.hook is not None:
            raise RuntimeError("register_builtin_comm_hook or register_comm_hook can only be called once.")
        self.register_comm_hook(self.process_group, comm_hook_type.value)
        self.comm_hook_name = str(comm_hook_type)

    def _set_up(self, precision: _MixedPrecision) -> None:
        """Buffers as the precision wants them, and gradients that travel so."""
        if precision.buffer_dtype is not None:
            cast_buffers(precision.buffer_dtype, self.module, _ignored(self.module))
        dtype = precision.reduce_dtype or precision.param_dtype
        if dtype is not None and any(p.dtype is not dtype for p in self.reducer.parameters):
            self.reducer.set_hook(partial(averaged_in, dtype, self.process_group))

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """As a module's; keys may have the prefix "module." or not."""
        return super().load_state_dict(prefixed(state_dict), strict, assign)

    def shared_parameters(self) -> list[Tensor]:
        """The parameters that are rank 0's on all ranks: all that the module does not want left alone."""
        ignored = _ignored(self.module)
        return [parameter for name, parameter in self.module.named_parameters() if name not in ignored]

    def shared_buffers(self) -> list[Tensor]:
        """The buffers that are, likewise."""
        ignored = _ignored(self.module)
        return [buffer for name, buffer in self.module.named_buffers() if name not in ignored]

    def share_buffers(self, source: int) -> None:
        """Rank `source`'s buffers become all ranks'. What an earlier forward saved of them still counts as unchanged,
        as it does on that rank.
        """
        broadcast_tensors(self._comm, self.shared_buffers(), source, noticed=False)

    @property
    def forward_sync_buffers(self) -> bool:
        """Whether buffers become rank 0's before each forward."""
        return self.broadcast_buffers

    @forward_sync_buffers.setter
    def forward_sync_buffers(self, value: bool) -> None:
        self.broadcast_buffers = value

    @staticmethod
    def _set_params_and_buffers_to_ignore_for_model(module: Module, params_and_buffers_to_ignore: Any) -> None:
        """Leave parameters and buffers of these names alone in wrappers made of `module` from now on."""
        module._ddp_params_and_buffers_to_ignore = params_and_buffers_to_ignore

    def _find_unused(self, output: Any) -> set[int]:
        """The parameters that `output` does not depend on, by walking its graph."""
        if not self.find_unused_parameters or self.static_graph:
            return set()
        reached = leaves_below(_tensors(output))
        return {i for i, p in enumerate(self.reducer.parameters) if id(p) not in reached}

    def _await_end(self, output: Any) -> None:
        """Let the sweep that goes through `output` end the reduction, not one that runs inside it (a checkpoint's)."""
        for t in _tensors(output):
            if t.requires_grad and not t.is_leaf:
                t.register_hook(lambda gradient: self.reducer.await_end())

    def _set_static_graph(self) -> None:
        """Say that the graph never changes; before the first forward."""
        if self.static_graph:
            warnings.warn("You've set static_graph to be True, no need to set it again.", stacklevel=2)
            return
        if self.reducer.iterations:
            text = "set_static_graph() should be called before training loop starts and after DDP is constructed."
            self.reducer.error = text
            raise RuntimeError(text)
        self.static_graph = self.find_unused_parameters = self.reducer.find_unused = self.reducer.static = True

    def _get_ddp_logging_data(self) -> dict[str, Any]:
        """What this wrapper is set to and has done, under PyTorch's names; times are not among it."""
        return logging_data(self)

    def __getstate__(self) -> dict[str, Any]:
        if self.process_group is not resolve(None):
            raise RuntimeError(
                "DDP Pickling/Unpickling are only supported when using DDP with the default process group. That is, "
                "when you have called init_process_group and have not passed process_group argument to DDP constructor"
            )
        names = "module device_ids dim forward_sync_buffers find_unused_parameters static_graph gradient_as_bucket_view"
        names += " mixed_precision"
        return {name: getattr(self, name) for name in names.split()} | {"training": self.training}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """On all ranks alike: the copy reduces over the default process group."""
        settings = dict(state)
        training = settings.pop("training")
        self.__init__(**settings, init_sync=False)  # type: ignore[misc]
        self.training = training


def _ignored(module: Module) -> set[str]:
    """The names of parameters and buffers that the module wants left alone."""
    return set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))


def _warn_of_older_name(both: bool) -> None:
    text = (
        "Both `broadcast_buffers` and `forward_sync_buffers` were specified. `broadcast_buffers` is deprecated and its "
        "value is ignored when `forward_sync_buffers` is provided."
        if both
        else "`broadcast_buffers` is deprecated. Use `forward_sync_buffers` instead. IMPORTANT: unlike "
        "`broadcast_buffers=False`, `forward_sync_buffers=False` still syncs buffers at init."
    )
    warnings.warn(text, FutureWarning, stacklevel=3)


def _check_hook(hook: Callable) -> None:
    """TypeError or ValueError unless a hook can be called, and says nothing else than what it is called with."""
    if not callable(hook):
        raise TypeError("Communication hook must be callable.")
    try:
        signature = inspect.signature(hook)
    except ValueError:  # of a builtin
        return
    bucket, answer = signature.parameters.get("bucket"), signature.return_annotation
    if (
        bucket is not None
        and bucket.annotation not in (bucket.empty, GradBucket, Any)
        and ("GradBucket" not in str(bucket.annotation))
    ):
        raise ValueError("Communication hook: bucket annotation should be dist.GradBucket.")
    if answer not in (signature.empty, Any) and "Future" not in str(answer):
        raise ValueError("Communication hook: return annotation should be torch.futures.Future[torch.Tensor].")


def _group_of(device_mesh: Any, process_group: ProcessGroup | None) -> ProcessGroup:
    """The group of a mesh of one dimension."""
    if process_group is not None:
        raise RuntimeError("Cannot specify both process_group and device_mesh arguments.")
    if device_mesh.ndim != 1:
        raise RuntimeError(f"Only 1D device mesh is supported, but got {device_mesh}.")
    return device_mesh.get_group(mesh_dim=0)


def _one_device(named: list, device_ids) -> devices.device:
    """The device of all parameters; ValueError if there are several, or another than device_ids names."""
    found = {p.device for _, p in named}
    if len(found) > 1:
        raise ValueError(
            "DistributedDataParallel's input module must be on the same type of devices, but its module parameters "
            f"are located on {sorted(map(str, found))}."
        )
    (where,) = found
    if device_ids:
        wanted = devices.resolve(
            device_ids[0] if not isinstance(device_ids[0], int) else devices.device("cuda", device_ids[0])
        )
        if wanted is not where:
            raise ValueError(
                "DistributedDataParallel device_ids and output_device arguments only work with a module on that "
                f"device: device_ids [{wanted}], and module parameters {where}."
            )
    return where


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists, dicts and dataclass-like objects."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for v in value.values() for t in _tensors(v)]
    if isinstance(value, (tuple, list)):
        return [t for v in value for t in _tensors(v)]
    return _tensors(vars(value)) if hasattr(value, "__dataclass_fields__") else []


def leaves_below(tensors: list[Tensor]) -> set[int]:
    """The ids of the leaves that `tensors` were computed from."""
    seen: set = set()
    stack = [e[0] for e in map(edge, tensors) if e is not None]
    leaves: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Node):
            stack.extend(e[0] for e in node.edges if e is not None)
        else:
            leaves.add(id(node))
    return leaves
