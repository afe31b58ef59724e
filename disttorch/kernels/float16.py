"""float16 to float32 by the bits of whole arrays: NumPy converts one number after another, in five times the time."""

import numpy as np

LONG = 1 << 14  # elements from which the passes pay
BLOCK = 1 << 16  # elements worked on at a time: they stay in the second-level cache
NUMBER = 0x7BFF  # the largest bits of a finite number without its sign
KEPT = np.int32(0x8FFFE000 - (1 << 32))  # where sign, exponent and significand lie once they are shifted up
SHIFT = 23 - 10  # the lengths of the significands
SCALE = np.float32(2.0 ** (127 - 15))  # by how much the exponents' biases differ
_SUBNORMAL = np.float32(2.0**-149)


def widen(halves):
    """A float16 array as float32, exactly; infinities and NaNs, too.

    The bits, moved to where float32 has them, are a number that is too small by the same factor for all; a subnormal
    float16 is a subnormal float32 there. Where such operands count as zero (`set_flush_denormal`) NumPy converts.
    """
    if halves.size < LONG or not halves.flags.forc or _SUBNORMAL * SCALE == 0:
        return halves.astype(np.float32)
    out = np.empty_like(halves, np.float32)
    shorts, wide = halves.ravel("K").view(np.int16), out.ravel("K")
    for low in range(0, shorts.size, BLOCK):
        block, numbers = shorts[low : low + BLOCK], wide[low : low + BLOCK]
        if np.bitwise_and(block, 0x7FFF).max() > NUMBER:
            numbers[...] = block.view(np.float16)
            continue
        bits = numbers.view(np.int32)
        bits[...] = block  # the sign is repeated in all upper bits
        np.left_shift(bits, SHIFT, out=bits)
        np.bitwise_and(bits, KEPT, out=bits)
        np.multiply(numbers, SCALE, out=numbers)
    return out
