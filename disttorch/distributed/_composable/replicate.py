"""`replicate`: a module averages its own gradients over the ranks; its name, parameters' names and forward stay."""

from collections.abc import Iterable
from typing import Any, NoReturn

from ... import devices
from ...nn.modules.module import Module
from ...nn.parallel.distributed import DistributedDataParallel


class DDP:
    """What a replicated module can do besides; stands in front of its class."""

    _replica: "_Replica"

    def set_requires_gradient_sync(self, requires_gradient_sync: bool) -> None:
        """False: gradients of the forwards to come accumulate on each rank alone."""
        self._replica.syncing = requires_gradient_sync

    def register_comm_hook(self, *args: Any, **kwargs: Any) -> None:
        """As DistributedDataParallel's; before the first forward."""
        self._replica.hooks.append((args, kwargs))

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise AssertionError("DDP does not support deepcopy. Please use state dict for serialization.")


class _Parameters(Module):
    """The parameters of `module`, under their names, without those of the modules `ignored`."""

    def __init__(self, module: Module, ignored: set[Module]):
        super().__init__()
        left = {id(p) for other in ignored for p in other.parameters()}
        self._parameters.update({name: p for name, p in module.named_parameters() if id(p) not in left})


class _Replica:
    """A module's reducer, which is made in its first forward, and is no part of the module."""

    def __init__(self, settings: dict[str, Any], ignored: set[Module]):
        self.settings, self.ignored = settings, ignored
        self.syncing, self.hooks = True, []  # type: ignore[var-annotated]
        self.ddp: DistributedDataParallel | None = None

    def before(self, module: Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if self.ddp is None:
            self.ddp = DistributedDataParallel(_Parameters(module, self.ignored), **self.settings)
            for given, named in self.hooks:
                self.ddp.register_comm_hook(*given, **named)
        self.ddp.require_backward_grad_sync = self.syncing
        return self.ddp._pre_forward(*args, **kwargs)

    def after(self, module: Module, args: tuple, output: Any) -> Any:
        return self.ddp._post_forward(output)  # type: ignore[union-attr]


def replicate(module: Module, ignored_modules: Iterable[Module] | None = None, **kwargs: Any) -> Module:
    """Have `module` average its gradients over the ranks as DistributedDataParallel does, and return it.

    Its parameters become rank 0's in its first forward; its buffers are left alone, and so is what belongs to
    ignored_modules. device_id (a number or a device): the one it lies on, to which its inputs are moved; RuntimeError
    for anything else. Other arguments are DistributedDataParallel's, but for mixed_precision.
    """
    if kwargs.get("mixed_precision") is not None:
        raise NotImplementedError("replicate's mixed_precision is not supported: use DistributedDataParallel's")
    if "device_id" in kwargs:
        where = kwargs.pop("device_id")
        if not isinstance(where, int | devices.device):
            raise RuntimeError(f"Expected device_id to be int or torch.device, but got {type(where)}")
        on_cpu = isinstance(where, devices.device) and where.type == "cpu"
        kwargs["device_ids"] = None if on_cpu else [where]
    replica = _Replica(kwargs, set(ignored_modules or ()))
    module.__dict__["_replica"] = replica
    module.register_forward_pre_hook(replica.before, with_kwargs=True)
    module.register_forward_hook(replica.after)
    kind = type(module)
    module.__class__ = type(f"DDP{kind.__name__}", (DDP, kind), {})  # type: ignore[assignment]
    return module
