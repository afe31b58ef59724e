"""Messages: what is written is read, and anything else is refused."""

import os
import random

import msgpack
import numpy as np
import pytest
from disttorch.comm import wire
from disttorch.comm.call import caller, describe, fingerprint
from disttorch.comm.wire import DATA, Header

from disttorch import comm

TOKEN = b"t" * wire.TOKEN
GOOD = Header(DATA, 2, 7, 0, 8, 24, fingerprint("all_reduce", np.dtype("f4"), (3, 4), "sum", -1), b"train.py:12")


def test_header_round_trip():
    assert wire.decode(TOKEN, wire.encode(TOKEN, GOOD), 16, 3) == GOOD
    assert describe(GOOD.mark, GOOD.place) == "all_reduce(float32[3, 4], op=sum) at train.py:12"


BAD = {
    "not msgpack": b"\xc1",
    "empty": b"",
    "too long": b"\x00" * 5000,
    "other group": wire.encode(b"x" * 16, GOOD),
    "a number": msgpack.packb(5),
    "too few": msgpack.packb([1, TOKEN]),
    "nested": b"\x91" * 1000,
    "types": msgpack.packb([1, TOKEN, 0, 0, 0.5, 0, 0, 0, b"", b""]),
    "text": msgpack.packb([1, TOKEN, 0, 0, 0, 0, 0, 0, "mark", b""]),
    "rank": wire.encode(TOKEN, GOOD._replace(sender=3)),
    "negative": wire.encode(TOKEN, GOOD._replace(sender=-1)),
    "kind": wire.encode(TOKEN, GOOD._replace(kind=9)),
    "beyond": wire.encode(TOKEN, GOOD._replace(total=10)),
    "before": wire.encode(TOKEN, GOOD._replace(offset=-8)),
    "claims 2**62 bytes": wire.encode(TOKEN, GOOD._replace(total=1 << 62)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_headers_are_refused(case):
    with pytest.raises(comm.MessageError):
        wire.decode(TOKEN, BAD[case], 16, 3)


def test_no_bytes_do_worse_than_message_error():
    rng = random.Random(1)
    good = wire.encode(TOKEN, GOOD)
    for _ in range(10_000):
        frame = bytearray(good if rng.random() < 0.7 else os.urandom(rng.randrange(80)))
        for _ in range(rng.randrange(1, 4)):
            if frame:
                frame[rng.randrange(len(frame))] = rng.randrange(256)
        try:
            header = wire.decode(TOKEN, bytes(frame), rng.randrange(64), 3)
        except comm.MessageError:
            continue
        describe(header.mark, header.place)


def test_longest_header_fits():
    deep = fingerprint("reduce_scatter", np.dtype("complex128"), (2**40,) * 32, "product", 2**31)
    header = Header(2, 2**20, 2**62, 2**62, 2**61, 2**61, deep, b"p" * 400)
    assert len(deep) <= 512
    assert len(wire.encode(TOKEN, header)) <= wire.MAX_HEADER
    with pytest.raises(ValueError, match="at most 32 dimensions"):
        fingerprint("all_reduce", np.dtype("f4"), (1,) * 33, "sum", -1)


def test_caller_is_this_line():
    assert caller().decode().rpartition(":")[0].endswith("test_wire.py")
