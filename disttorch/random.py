"""Generators of random numbers: one that every device has, and others that programs make (torch.Generator).

Where numbers come from and what is done to them is in `streams` and `sampling`. The only global random state is here;
a thread that stands for a rank has its own.
"""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator

from .autograd.variable import Tensor, wrap
from .devices import CPU, META, current_cuda, device, device_count, namespace, resolve
from .streams import MersenneTwister, Philox

CUDA_SEED = 67280421310721  # PyTorch's, until manual_seed is called
MANY_DEVICES = 1  # fork_rng warns when it has to save more CUDA states than these unasked


class Generator:
    """A source of random numbers for one device, with a seed and a state (torch.Generator).

    On the CPU and on simulated devices it gives the numbers of PyTorch's CPU generator; on a real CUDA device,
    Philox's. Raises RuntimeError for a device that is not there.
    """

    def __init__(self, device="cpu"):
        self.device = resolve(device)
        self._stream = MersenneTwister(CUDA_SEED) if self.device.host else Philox(CUDA_SEED, namespace(self.device))

    def manual_seed(self, seed: int) -> "Generator":
        """Start again from `seed`, -2^63 to 2^64 - 1 (a negative one counts from 2^64). ValueError outside of it."""
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        seed = seed.__index__()
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError("Overflow when unpacking long long")
        self._stream.reseed(seed % (1 << 64))
        return self

    def seed(self) -> int:
        """Start again from a seed that nobody knows beforehand, and return it."""
        seed = int.from_bytes(os.urandom(8), "little")
        self._stream.reseed(seed)
        return seed

    def initial_seed(self) -> int:
        return self._stream.seed

    def get_state(self) -> Tensor:
        """The state as a tensor of bytes that PyTorch's generators of the same device take, and give."""
        return wrap(self._stream.state())

    def set_state(self, new_state: Tensor) -> None:
        """Take up a state from `get_state`. TypeError unless it is a CPU tensor of bytes, RuntimeError if it is no
        state.
        """
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        if new_state.device is not CPU or new_state.dtype.name != "uint8":
            raise TypeError("RNG state must be a torch.ByteTensor")
        self._stream.set_state(new_state._data)

    def clone_state(self) -> "Generator":
        """A generator of the same device in the same state."""
        other = Generator(self.device)
        other._stream.set_state(self._stream.state())
        return other

    def get_offset(self) -> int:
        """The number of words drawn from a real CUDA device's generator since its seed."""
        if isinstance(self._stream, MersenneTwister):
            raise RuntimeError("CPU Generator does not use offset")
        return self._stream.offset

    def set_offset(self, offset: int) -> None:
        if isinstance(self._stream, MersenneTwister):
            raise RuntimeError("CPU Generator does not use offset")
        self._stream.offset = offset

    def __repr__(self):
        return f"<torch._C.Generator object at {id(self):#x}>"

    def __reduce__(self):
        return (_restored, (self.device, self._stream.state()))


def _restored(where: device, state) -> Generator:
    generator = Generator(where)
    generator._stream.set_state(state)
    return generator


class _Defaults:
    """The generators from which a process draws, or a thread that stands for a rank: the CPU's stream, and a generator
    for each CUDA device that has been used.
    """

    def __init__(self, seed: int, cuda_seed: int):
        self.stream, self.cuda_seed = MersenneTwister(seed), cuda_seed
        self.cuda: dict[tuple, Generator] = {}  # (index, simulated?) -> that device's own
        self.lock = threading.Lock()


class _Thread(threading.local):
    """Whose defaults this thread draws from: the process's, unless it has its own."""

    defaults = _Defaults(int.from_bytes(os.urandom(8), "little"), CUDA_SEED)


drawing = _Thread()


class _DefaultGenerator(Generator):
    """The CPU's, from which operations draw that are given none."""

    def __init__(self):
        self.device = CPU

    @property
    def _stream(self):
        return drawing.defaults.stream


default_generator = _DefaultGenerator()


@contextlib.contextmanager
def own_generators(seed: int) -> Iterator[None]:
    """A block in which this thread has default generators of its own, which start from `seed`: what it draws does not
    depend on what other threads draw meanwhile.
    """
    before, drawing.defaults = drawing.defaults, _Defaults(seed, seed)
    try:
        yield
    finally:
        drawing.defaults = before


def default(where: device) -> Generator:
    """The generator from which operations on `where` (with an index) draw when they are given none."""
    if where is CPU:
        return default_generator
    key, defaults = (where.index, where.host), drawing.defaults
    with defaults.lock:
        if key not in defaults.cuda:
            defaults.cuda[key] = Generator(where).manual_seed(defaults.cuda_seed)
        return defaults.cuda[key]


def stream(generator: Generator | None, where: device):
    """The stream of words of `generator`, or of the default one for `where`; RuntimeError if they do not match."""
    if where is META:
        return MersenneTwister(0)  # whatever is drawn has no values
    if generator is None:
        return default(where)._stream
    if not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be Generator, not {type(generator).__name__}")
    if generator.device.type != where.type:
        raise RuntimeError(f"Expected a '{where.type}' device type for generator but found '{generator.device.type}'")
    return generator._stream


def manual_seed_cuda(seed: int) -> None:
    """Seed the generators of all CUDA devices, also of those not yet used (torch.cuda.manual_seed_all)."""
    seed, defaults = int(seed), drawing.defaults
    with defaults.lock:
        defaults.cuda_seed = seed
        for generator in defaults.cuda.values():
            generator.manual_seed(seed)


def manual_seed(seed: int) -> Generator:
    """Seed the generators of all devices, and return the CPU's. ValueError for a seed outside -2^63 to 2^64 - 1."""
    seed = int(seed)
    default_generator.manual_seed(seed)
    manual_seed_cuda(seed)
    return default_generator


def seed() -> int:
    """Seed all devices with a number that nobody knows beforehand, and return it."""
    value = default_generator.seed()
    manual_seed_cuda(value)
    return value


def initial_seed() -> int:
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    default_generator.set_state(new_state)


_warned = False


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type="cuda"):
    """Whatever random numbers are drawn inside, the default generators stand afterwards where they stood before.

    devices: indices of the CUDA devices that this holds for besides the CPU; None: all, with a warning if they are
    many.
    """
    global _warned
    if not enabled:
        yield
        return
    if devices is None:
        count = device_count()
        if count > MANY_DEVICES and not _warned:
            _warned = True
            warnings.warn(
                f"CUDA reports that you have {count} available devices, and you have used {_caller} without explicitly "
                f"specifying which devices are being used. The states of all of them are saved and restored; pass "
                f"'{_devices_kw}' with the set of devices you are actually using, or `range({count})` for all of them.",
                stacklevel=3,
            )
        devices = range(count)
    generators = [default_generator]
    for d in devices:
        d = device(d)
        generators.append(default(resolve(device("cuda", current_cuda()) if d.index is None else d)))
    states = [g._stream.state() for g in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator._stream.set_state(state)
