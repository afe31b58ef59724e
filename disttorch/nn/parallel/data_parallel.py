"""DataParallel: one process, a replica and a thread for each device; batches are cut along a dimension and joined
again.

Scatter, replicate and gather are operations of the graph; their gradients gather, reduce and scatter, all through one
inproc group of the devices' threads.
"""

from typing import Any

from ... import devices
from ...autograd.mode import is_grad_enabled
from ..modules.module import Module
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import device_list, gather, moved_to, scatter_kwargs
from .team import Team


class DataParallel(Module):
    """Computes `module` on several devices at once, each with a share of the batch.

    module: lives on device_ids[0]; device_ids: indices or devices (all visible ones); output_device: where outputs go
    (device_ids[0]); dim: along which inputs are cut and outputs joined. Without devices it is `module` alone. Raises
    RuntimeError if a parameter is not on device_ids[0]; an error in a replica is raised again with its traceback.
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0):
        super().__init__()
        if device_ids is None or not devices.device_count():
            device_ids = list(range(devices.device_count()))
        self.device_ids = [d.index for d in device_list(device_ids)]
        self.module, self.dim = module, dim
        self._teams: dict[tuple, Team] = {}
        if self.device_ids:
            self.output_device = devices.resolve(self.device_ids[0] if output_device is None else output_device).index
            self.src_device_obj = devices.device("cuda", self.device_ids[0])
        if len(self.device_ids) == 1:
            self.module.to(self.src_device_obj)

    def forward(self, *inputs, **kwargs):
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        for name, t in [*self.module.named_parameters(), *self.module.named_buffers()]:
            if t.device is not self.src_device_obj:
                raise RuntimeError(
                    f"module must have its parameters and buffers on device {self.src_device_obj} (device_ids[0]) but "
                    f"found one of them on device: {t.device} ({name})"
                )
        rows, columns = self.scatter(inputs, kwargs, self.device_ids)
        if not rows:
            rows, columns = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*rows[0], **columns[0])
        replicas = self.replicate(self.module, self.device_ids[: len(rows)])
        outputs = self.parallel_apply(replicas, rows, columns)
        return self.gather(outputs, self.output_device)

    def scatter(self, inputs: tuple, kwargs: dict | None, device_ids: list[int]) -> tuple:
        """(shares of the positional arguments, shares of the keyword arguments), at most one for each device."""
        if len(device_ids) == 1:
            where = devices.device("cuda", device_ids[0])
            return (moved_to(inputs, where),), (moved_to(kwargs or {}, where),)
        return scatter_kwargs(inputs, kwargs, device_ids, self.dim, self.team(device_ids))

    def replicate(self, module: Module, device_ids: list[int]) -> list[Module]:
        """A replica for each device; for one device alone the module itself."""
        if len(device_ids) == 1:
            return [module]
        return replicate(module, device_ids, not is_grad_enabled(), self.team(device_ids))

    def parallel_apply(self, replicas: list[Module], inputs: Any, kwargs: Any) -> list:
        """The replicas' outputs, each computed in the thread of its device."""
        return parallel_apply(replicas, inputs, kwargs, None, self.team(self.device_ids[: len(replicas)]))

    def gather(self, outputs: list, output_device: Any) -> Any:
        """The outputs joined on one device."""
        return gather(outputs, output_device, self.dim, self.team(self.device_ids[: len(outputs)]))

    def team(self, device_ids: list[int]) -> Team:
        """The threads of these devices, started when first needed."""
        key = tuple(device_list(device_ids))
        if key not in self._teams:
            self._teams[key] = Team(key)
        return self._teams[key]

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """As a module's; keys may have the prefix "module." or not."""
        return super().load_state_dict(prefixed(state_dict), strict, assign)

    def __getstate__(self):
        return {**self.__dict__, "_teams": {}}


def prefixed(state_dict: Any) -> Any:
    """A state_dict of a wrapped module, from one of the module alone."""
    if not state_dict or any(key.startswith("module.") for key in state_dict):
        return state_dict
    made = type(state_dict)((f"module.{key}", value) for key, value in state_dict.items())
    if hasattr(state_dict, "_metadata"):
        made._metadata = {f"module.{k}" if k else "module": v for k, v in state_dict._metadata.items()}
    return made


def data_parallel(
    module: Module, inputs: Any, device_ids=None, output_device=None, dim: int = 0, module_kwargs=None
) -> Any:
    """`DataParallel(module, device_ids, output_device, dim)` applied to `inputs` (a tensor or a tuple) once."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,) if inputs is not None else ()
    wrapped = DataParallel(module, device_ids, output_device, dim)
    return wrapped(*inputs, **(module_kwargs or {}))
