"""Streams of random 32-bit words: the Mersenne Twister seeded, advanced and stored as PyTorch's CPU generator does it,
and the counter-based Philox for real CUDA devices. The distributions in `sampling` draw from either.
"""

from functools import cached_property

import numpy as np

STATE_BYTES = 5056  # of PyTorch's CPUGeneratorImplState
_N = 624  # words of the Mersenne Twister's state
_STATE = np.dtype(
    [
        ("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"), ("words", "<u8", _N),
        ("normal_x", "<f8"), ("normal_y", "<f8"), ("normal_rho", "<f8"), ("normal_is_valid", "<i4"), ("pad", "<i4"),
        ("next_float", "<f4"), ("float_is_valid", "<i4"),
    ]
)  # fmt: skip


class MersenneTwister:
    """MT19937 (Matsumoto and Nishimura, 1998). `spare` is the second normal of a Box-Muller pair, not yet given out."""

    xp = np

    def __init__(self, seed: int):
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        self.seed, self.spare, self._fresh = seed, None, True
        if "_bits" in self.__dict__:
            self._sow(self._bits)

    @cached_property
    def _bits(self):
        """NumPy's generator, made when it is first needed: numpy.random takes long to import."""
        bits = np.random.MT19937(0)
        self._sow(bits)
        return bits

    def _sow(self, bits) -> None:
        np.random.RandomState(bits).seed(self.seed & 0xFFFFFFFF)

    def words(self, n: int):
        """`n` uniformly distributed words (uint32)."""
        if n == 0:
            return np.empty(0, np.uint32)
        self._fresh = False
        return self._bits.random_raw(n).astype(np.uint32)  # quicker than Generator's methods, for few words much so

    def state(self) -> np.ndarray:
        """All of it as 5056 bytes (uint8), in PyTorch's layout."""
        inner = self._bits.state["state"]
        s = np.zeros((), _STATE)
        position = inner["pos"]
        s["seed"], s["seeded"], s["words"] = self.seed, 1, inner["key"]
        s["left"], s["next"] = _N + 1 - position, 0 if self._fresh else position
        if self.spare is not None:
            s["normal_is_valid"], s["normal_y"] = 1, self.spare
        return np.frombuffer(s.tobytes(), np.uint8).copy()

    def set_state(self, state: np.ndarray) -> None:
        """Take up bytes that `state()` or PyTorch's get_rng_state() gave; RuntimeError for anything else."""
        if state.size != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size to be "
                f"{state.size}"
            )
        s = np.frombuffer(state.tobytes(), _STATE)[0]
        left, following = int(s["left"]), int(s["next"])
        if not (s["seeded"] == 1 and 0 < left <= _N and following <= _N):
            raise RuntimeError("Invalid mt19937 state")
        self.seed, self._fresh = int(s["seed"]), left == 1 and following == 0
        self.spare = float(s["normal_y"]) if s["normal_is_valid"] else None
        position = _N if left == 1 else following
        key = s["words"].astype(np.uint32)
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}


class Philox:
    """Philox4x32-10 (Salmon et al., 2011): word k is a function of (seed, k), computed where the array lives."""

    spare = None  # PyTorch keeps none on CUDA

    def __init__(self, seed: int, xp=np):
        self.xp = xp
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        self.seed, self.offset = seed, 0

    def words(self, n: int):
        """`n` uniformly distributed words (uint32)."""
        first, last = self.offset // 4, -(-(self.offset + n) // 4)
        low = self.xp.uint64(0xFFFFFFFF)
        shift = self.xp.uint64(32)
        counter = self.xp.arange(first, last, dtype=np.uint64)
        c0, c1 = counter & low, counter >> shift
        c2 = c3 = self.xp.zeros_like(counter)
        key0, key1 = self.seed & 0xFFFFFFFF, self.seed >> 32
        for _ in range(10):
            p0, p1 = c0 * self.xp.uint64(0xD2511F53), c2 * self.xp.uint64(0xCD9E8D57)
            c0, c2 = (p1 >> shift) ^ c1 ^ self.xp.uint64(key0), (p0 >> shift) ^ c3 ^ self.xp.uint64(key1)
            c1, c3 = p1 & low, p0 & low
            key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
        words = self.xp.stack((c0, c1, c2, c3), 1).reshape(-1).astype(np.uint32)
        skip = self.offset - 4 * first
        self.offset += n
        return words[skip : skip + n].copy()  # aligned, so that pairs can be taken as words of 64 bits

    def state(self) -> np.ndarray:
        """Seed and offset as 16 bytes (uint8), PyTorch's layout for CUDA generators."""
        return np.frombuffer(np.array([self.seed, self.offset], "<u8").tobytes(), np.uint8).copy()

    def set_state(self, state: np.ndarray) -> None:
        if state.size != 16:
            raise RuntimeError(f"RNG state is wrong size: a CUDA generator's has 16 bytes, got {state.size}")
        self.seed, self.offset = (int(v) for v in np.frombuffer(state.tobytes(), "<u8"))
