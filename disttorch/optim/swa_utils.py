"""Averages of a model over the steps of its training: stochastic weight averaging (Izmailov et al., 2018), and
exponential moving averages.
"""

import itertools
import math
from copy import deepcopy

from ..autograd.mode import no_grad
from ..autograd.variable import Tensor
from ..nn.modules.batchnorm import _BatchNorm
from ..nn.modules.module import Module
from ..ops import tensor
from .lr_scheduler.base import LRScheduler, per_group

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip


def _fraction(t: Tensor) -> bool:
    return t.is_floating_point() or t.is_complex()


def get_ema_avg_fn(decay=0.999):
    """f(average, value, count) = decay · average + (1 - decay) · value. ValueError for a decay outside [0, 1]."""
    if not 0 <= decay <= 1:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn():
    """f(average, value, count): the mean of all values, `count` of which are in the average."""

    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay=0.999):
    """`get_ema_avg_fn` for lists of tensors, which it changes in place."""
    one = get_ema_avg_fn(decay)

    @no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for average, value in zip(ema_param_list, current_param_list, strict=True):
            if _fraction(average):
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(one(average, value, None))

    return ema_update


def get_swa_multi_avg_fn():
    """`get_swa_avg_fn` for lists of tensors, which it changes in place."""

    @no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        count = float(num_averaged) + 1
        for average, value in zip(averaged_param_list, current_param_list, strict=True):
            if _fraction(average):
                average.lerp_(value, 1 / count)
            else:
                average.copy_(average + (value - average) / count)

    return swa_update


class AveragedModel(Module):
    """The running average of a model: a copy of it, into which `update_parameters(model)` takes the model's values.

    avg_fn        (average, value, count) -> the new average; None: the mean of all values
    multi_avg_fn  the same for lists of tensors (of one device and dtype), in place
    use_buffers   whether buffers are averaged too; otherwise they are copied
    Called like the model. AssertionError for both functions.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def _values(self, model) -> list:
        buffers = model.buffers() if self.use_buffers else ()
        return [t.detach() for t in itertools.chain(model.parameters(), buffers)]

    def update_parameters(self, model) -> None:
        """Take the values of `model` into the average; the first are copied."""
        averages = self._values(self.module)
        values = [v.to(a.device) for a, v in zip(averages, self._values(model), strict=True)]
        if not self.n_averaged:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)
        elif self.avg_fn is not None:
            for average, value in zip(averages, values, strict=True):
                average.copy_(self.avg_fn(average, value, self.n_averaged.to(average.device)))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            kinds: dict = {}
            for average, value in zip(averages, values, strict=True):
                ours, theirs = kinds.setdefault((average.device, average.dtype), ([], []))
                ours.append(average)
                theirs.append(value)
            for (device, _), (ours, theirs) in kinds.items():
                update(ours, theirs, self.n_averaged.to(device))
        if not self.use_buffers:
            for ours, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                ours.detach().copy_(theirs.detach())
        self.n_averaged += 1


@no_grad()
def update_bn(loader, model, device=None) -> None:
    """Compute the running means and variances of a model's batch normalisations anew, over one pass of `loader`.

    A batch is an input, or a list or tuple that begins with it. Models without such layers are left alone.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return
    momenta, training = [m.momentum for m in layers], model.training
    model.train()
    for m in layers:
        m.reset_running_stats()
        m.momentum = None  # the mean over all batches
    for batch in loader:
        x = batch[0] if isinstance(batch, list | tuple) else batch
        model(x if device is None else x.to(device))
    for m, momentum in zip(layers, momenta, strict=True):
        m.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """From the groups' rates to `swa_lr` (one, or one per group) in `anneal_epochs`, there to stay.

    anneal_strategy: "cos" or "linear". ValueError for another, and for a negative number of epochs.
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _way(self, step: int) -> float:
        """How much of the way to `swa_lr` is done."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self):
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._way(step - 1), self._way(step)
        found = []
        for group in self.optimizer.param_groups:
            lr, goal = group["lr"], group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            found.append(goal * now + start * (1 - now))
        return found
