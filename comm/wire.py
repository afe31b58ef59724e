"""One message between two ranks: a bounded msgpack header in its own frame, then at most one frame of raw payload.

Nothing here can run code or take memory that a header merely claims; bytes that do not fit raise MessageError.
"""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from .errors import MessageError

VERSION = 1
TOKEN = 16  # bytes; a random name of the group, which a message must bear to be heard
MAX_WORDS = 1400  # bytes of the reason in a GOODBYE
MAX_HEADER = 2048  # bytes
PIECE = 2 << 20  # bytes of payload in one message at most; longer arrays travel as several
SEALED_PIECE = 512 << 10  # where it is encrypted, which delays what is sent by a whole piece
DATA, MISMATCH, GOODBYE = 0, 1, 2  # kinds of message
NONSENSE = 3  # what a rank notes where another sent what is no message; never sent itself


class Header(NamedTuple):
    """kind: DATA, MISMATCH (a rank tells its call to all) or GOODBYE (a rank leaves; `place` says why); see NONSENSE.

    sender: rank; number: of the operation (collectives) or message (point to point); tag: point to point only;
    offset, total: bytes, where this piece lies in the whole; mark, place: see `call.Call`.
    """

    kind: int
    sender: int
    number: int
    tag: int = 0
    offset: int = 0
    total: int = 0
    mark: bytes = b""
    place: bytes = b""


_TYPES = (int, int, int, int, int, int, bytes, bytes)


def encode(token: bytes, header: Header) -> bytes:
    """The header's frame."""
    return msgpack.packb((VERSION, token, *header))


def decode(token: bytes, frame: bytes, payload: int, ranks: int) -> Header:
    """The header in `frame`, whose message came with `payload` bytes, in a group of `ranks`.

    Raises MessageError if anything about it is not as this group writes it.
    """
    if len(frame) > MAX_HEADER:
        raise MessageError(f"a header of {len(frame)} bytes, at most {MAX_HEADER} are allowed")
    try:
        fields = msgpack.unpackb(
            frame, use_list=False, max_array_len=10, max_bin_len=MAX_WORDS, max_str_len=0,
            max_map_len=0, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, msgpack.UnpackException) as error:
        raise MessageError(f"a header that is not msgpack: {error}") from None
    if not isinstance(fields, tuple) or len(fields) != 10 or fields[0] != VERSION or fields[1] != token:
        raise MessageError("a header of another version or group")
    if tuple(map(type, fields[2:])) != _TYPES:
        raise MessageError("a header with fields of the wrong type")
    header = Header(*fields[2:])
    if not (0 <= header.sender < ranks and DATA <= header.kind <= GOODBYE):
        raise MessageError(f"a header with kind {header.kind} from rank {header.sender}")
    if payload > PIECE or not 0 <= header.offset <= header.offset + payload <= header.total < 1 << 62:
        raise MessageError(f"{payload} bytes at {header.offset} of {header.total}")
    return header
