"""Functions that tests let the workers of a job call: new processes import them from here."""

import os
import time

import disttorch
from disttorch import distributed as dist


def summed(value):
    """A rank's value, summed over all."""
    dist.init_process_group("gloo")
    total = disttorch.tensor([value + dist.get_rank()])
    dist.all_reduce(total)
    dist.destroy_process_group()
    return total


def on_second_try(folder):
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if restarts == 0 and os.environ["RANK"] == "1":
        raise KeyError("first try")
    return restarts


def fail():
    if os.environ["RANK"] == "1":
        raise ValueError("a worker's own words")
    time.sleep(30)
