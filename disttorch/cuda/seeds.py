"""Random numbers on CUDA devices: each has a generator of its own."""

from .. import devices, random
from .properties import _index


def _generator(device=None) -> random.Generator:
    return random.default(devices.device("cuda", _index(device)))


def default_generators() -> tuple:
    """The devices' generators, in order."""
    return tuple(_generator(i) for i in range(devices.device_count()))


def manual_seed(seed: int) -> None:
    """Start the current device's generator again from `seed`; nothing without CUDA."""
    if devices.device_count():
        _generator().manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Start all devices' generators again from `seed`."""
    random.manual_seed_cuda(seed)


def seed() -> None:
    """Start the current device's generator again from a seed that nobody knows beforehand; nothing without CUDA."""
    if devices.device_count():
        _generator().seed()


def seed_all() -> None:
    """Start all devices' generators again from one seed that nobody knows beforehand; nothing without CUDA."""
    if devices.device_count():
        manual_seed_all(_generator().seed())


def initial_seed() -> int:
    """The seed of the current device's generator."""
    return _generator().initial_seed()


def get_rng_state(device="cuda"):
    """The state of a device's generator, a tensor of bytes."""
    return _generator(device).get_state()


def get_rng_state_all() -> list:
    """The states of all devices' generators, in order."""
    return [g.get_state() for g in default_generators()]


def set_rng_state(new_state, device="cuda") -> None:
    """Take up a state from `get_rng_state`; TypeError or RuntimeError if it is none."""
    _generator(device).set_state(new_state)


def set_rng_state_all(new_states) -> None:
    """Take up states from `get_rng_state_all`, one for each device."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)
