"""ZeroRedundancyOptimizer: each rank keeps the optimizer's state of its share of the parameters alone.

Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (2020), stage 1.
"""

from ...autograd.variable import Tensor
from ...nn.modules.module import typename
from ...optim import Optimizer
from ..algorithms.join import Join, Joinable, JoinHook
from ..objects import gather_object
from ..packing import broadcast_tensors
from ..process_group import resolve


def partition(sizes: list[int], loads: list[int]) -> list[list[int]]:
    """Which parameters (indices) each rank takes: largest first, each to the rank with the least so far (`loads`, which
    grow).
    """
    shares: list[list[int]] = [[] for _ in loads]
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        rank = loads.index(min(loads))
        shares[rank].append(index)
        loads[rank] += sizes[index]
    return [sorted(share) for share in shares]


class _OptimizerJoinHook(JoinHook):
    """A rank without a batch updates its share all the same, with the gradients that it has."""

    def __init__(self, optimizer: "ZeroRedundancyOptimizer"):
        self.optimizer = optimizer

    def main_hook(self) -> None:
        self.optimizer._update(None)


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """Wraps `optimizer_class(params, **defaults)`; `step` updates this rank's share and gets the others' from them.

    Gradients must be equal on all ranks, as DistributedDataParallel makes them. `consolidate_state_dict(to)` collects
    the whole state on one rank, where `state_dict()` then is the plain optimizer's.
    """

    def __init__(
        self,
        params,
        optimizer_class,
        process_group=None,
        parameters_as_bucket_view=False,
        overlap_with_ddp=False,
        **defaults,
    ):
        if overlap_with_ddp:
            raise NotImplementedError(
                "overlap_with_ddp is not supported: leave it False, steps are taken after backward"
            )
        Optimizer.__init__(self, _listed(params), defaults)
        Joinable.__init__(self)
        self.process_group = resolve(process_group)
        self.world_size, self.rank = self.process_group.size(), self.process_group.rank()
        self.parameters_as_bucket_view = parameters_as_bucket_view
        self._all: list[Tensor] = []
        self._loads = [0] * self.process_group.size()
        self._shares: list[list[Tensor]] = [[] for _ in self._loads]
        self.optim = optimizer_class([self._share_out(group) for group in self.param_groups], **defaults)
        self.state = self.optim.state
        self._bring_back_settings()
        self._whole_state: dict | None = None
        self.initialized = True

    def add_param_group(self, param_group: dict) -> None:
        """Share out further parameters, with settings of their own where `param_group` has them; on all ranks alike."""
        super().add_param_group(param_group)
        if "optim" in self.__dict__:
            self.optim.add_param_group(self._share_out(self.param_groups[-1]))
            self._bring_back_settings()

    def _share_out(self, group: dict) -> dict:
        """This rank's part of a group."""
        params = group["params"]
        self._all += params
        found = partition([p.numel() for p in params], self._loads)
        for share, indices in zip(self._shares, found, strict=True):
            share += [params[i] for i in indices]
        return {**_settings(group), "params": [params[i] for i in found[self.process_group.rank()]]}

    def _bring_back_settings(self) -> None:
        """The groups get what the optimizer has put into its own: defaults, and what a step changes."""
        for group, mine in zip(self.param_groups, self.optim.param_groups, strict=True):
            group.update(_settings(mine))

    def step(self, closure=None, **kwargs):
        """Update all parameters; returns the closure's loss."""
        Join.notify_join_context(self)
        return self._update(closure, **kwargs)

    def join_hook(self, **kwargs) -> JoinHook:
        return _OptimizerJoinHook(self)

    @property
    def join_device(self):
        return self._all[0].device

    @property
    def join_process_group(self):
        return self.process_group

    def _update(self, closure, **kwargs):
        for group, mine in zip(self.param_groups, self.optim.param_groups, strict=True):
            mine.update(_settings(group))
        loss = self.optim.step(closure, **kwargs) if closure is not None else self.optim.step(**kwargs)
        self._bring_back_settings()
        for rank, share in enumerate(self._shares):
            broadcast_tensors(self.process_group.comm, share, rank)
        return loss

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Collect the whole state on rank `to` of the group; every rank must call it."""
        mine = self.process_group.rank()
        state = {self._number(p): dict(s) for p, s in self.optim.state.items()}
        found: list = [None] * self.process_group.size()
        root = self.process_group.ranks[to]
        gather_object(state, found if mine == to else None, root, self.process_group)
        if mine == to:
            self._whole_state = {int(k): v for part in found for k, v in part.items()}

    def _number(self, parameter: Tensor) -> int:
        return next(i for i, p in enumerate(self._all) if p is parameter)

    def state_dict(self) -> dict:
        """The plain optimizer's state_dict. RuntimeError unless `consolidate_state_dict` has just collected it here."""
        if self._whole_state is None:
            raise RuntimeError(
                "Optimizer state has not been consolidated on this rank. Please call `consolidate_state_dict(to="
                f"{self.process_group.rank()})` on all ranks beforehand if you meant to save the global state."
            )
        groups, at = [], 0
        for group in self.param_groups:
            count = len(group["params"])
            groups.append({**group, "params": list(range(at, at + count))})
            at += count
        return {"state": dict(sorted(self._whole_state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take this rank's share from a plain optimizer's state_dict."""
        for place, group in enumerate(self.param_groups):
            group.update(_settings(state_dict["param_groups"][place]))
        for parameter in [p for group in self.optim.param_groups for p in group["params"]]:
            number = self._number(parameter)
            if number in state_dict["state"]:
                self.optim.state[parameter] = {
                    k: v.clone() if isinstance(v, Tensor) else v for k, v in state_dict["state"][number].items()
                }


def _settings(group: dict) -> dict:
    """What a group says besides its parameters."""
    return {key: value for key, value in group.items() if key not in ("params", "param_names")}


def _listed(params) -> list:
    """The parameters or groups; ValueError if there are none, TypeError for anything else."""
    if isinstance(params, Tensor) or not hasattr(params, "__iter__"):
        or_dicts = "" if isinstance(params, Tensor) else " or dicts"
        raise TypeError(f"`params` argument should be an iterable of Tensors{or_dicts}, but got {typename(params)}")
    found = list(params)
    if not found:
        raise ValueError("ZeroRedundancyOptimizer got an empty parameter list")
    if not (all(isinstance(p, Tensor) for p in found) or all(isinstance(p, dict) for p in found)):
        raise TypeError("`params` argument should be an iterable of Tensors or dicts")
    return found
