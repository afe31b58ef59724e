"""A machine for pickles that runs no code: it knows containers, numbers, strings and PyTorch's tensors, what the
program calls safe, and nothing else.

Sizes are checked against the bytes that are there before memory is taken. Opcodes: the pickletools module documents
them.
"""

import struct
from collections import Counter, OrderedDict, defaultdict
from typing import Any

from ..ops.shape import Size
from .safe import is_safe


class Refused(Exception):
    """The pickle holds something that is not a tensor or a plain container."""


class Damaged(Exception):
    """The bytes are not a pickle of a kind that PyTorch or we write."""


class _Mark:
    pass


_MARK = _Mark()
MAX_MEMO = 1 << 24  # entries that a pickle may number: more than any model has


class Machine:
    """Runs the pickle that begins at `begin`; afterwards `at` is its end.

    `find(module, name)` gives a callable, a class or a value for a global; `persistent(id)` a storage.
    """

    def __init__(self, data: bytes, find: Any, persistent: Any, begin: int = 0):
        self.data, self.at, self.find, self.persistent = data, begin, find, persistent
        self.stack: list = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value. Raises Refused for a global that is not allowed, Damaged for anything malformed."""
        try:
            return self._run()
        except (
            IndexError,
            KeyError,
            struct.error,
            UnicodeDecodeError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:
            raise Damaged(f"malformed pickle at byte {self.at}: {error}") from error

    def _run(self) -> Any:
        while True:
            code = self._take(1)
            if code == b".":
                if self.stack[-1] is _MARK:
                    raise Damaged("the value is missing")
                return self.stack.pop()
            handler = _HANDLERS.get(code)
            if handler is None:
                raise Refused(f"pickle opcode {code!r}")
            handler(self)

    def _take(self, n: int) -> bytes:
        piece = self.data[self.at : self.at + n]
        if n < 0 or len(piece) != n:
            raise Damaged(f"the pickle ends at byte {len(self.data)}, and {n} bytes are wanted from byte {self.at}")
        self.at += n
        return piece

    def _line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise Damaged("the pickle ends in the middle of a name")
        line = self.data[self.at : end]
        self.at = end + 1
        return line.decode("utf-8")

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _since_mark(self) -> list:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise Damaged("no mark on the stack")

    def _remember(self, key: int) -> None:
        if key >= MAX_MEMO:
            raise Damaged(f"memo number {key} is out of range")
        self.memo[key] = self.stack[-1]

    # -- values -------------------------------------------------------------------------------------------------------
    def text(self, size: int) -> None:
        self.stack.append(self._take(size).decode("utf-8", "surrogatepass"))

    def raw(self, size: int) -> None:
        self.stack.append(self._take(size))

    def integer(self, size: int) -> None:
        self.stack.append(int.from_bytes(self._take(size), "little", signed=True))

    def global_(self, module: str, name: str) -> None:
        self.stack.append(self.find(module, name))

    def reduce(self) -> None:
        args = self.stack.pop()
        function = self.stack[-1]
        if not callable(function) or not isinstance(args, tuple):
            raise Damaged("a call of something that is not a function")
        self.stack[-1] = function(*args)

    def build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, OrderedDict) and isinstance(state, dict):
            value.__dict__.update(state)  # a state_dict's _metadata
        elif hasattr(value, "_set_loaded_state"):
            value._set_loaded_state(state)
        elif is_safe(type(value)):
            _set_state(value, state)
        else:
            raise Refused(f"state of a {type(value).__name__}")

    def set_items(self, items: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise Damaged(f"items for a {type(target).__name__}")
        for key, value in zip(items[0::2], items[1::2], strict=True):
            target[key] = value

    def append(self, items: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise Damaged(f"elements for a {type(target).__name__}")
        target.extend(items)

    def add(self, items: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise Damaged(f"members for a {type(target).__name__}")
        target.update(items)

    def tuple_of(self, n: int) -> None:
        items = self.stack[len(self.stack) - n :] if n else []
        if len(items) != n:
            raise Damaged("a tuple of more than there is")
        del self.stack[len(self.stack) - n :]
        self.stack.append(tuple(items))

    def new_object(self) -> None:
        args, kind = self.stack.pop(), self.stack.pop()
        if kind in (OrderedDict, Size, set, defaultdict, Counter):
            self.stack.append(kind(*args))
        elif is_safe(kind):
            self.stack.append(kind.__new__(kind, *args))
        else:
            raise Refused(f"an object of {kind}")

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.global_(module, name)


def _set_state(value: Any, state: Any) -> None:
    """What unpickling does with the state of an object."""
    if hasattr(value, "__setstate__"):
        value.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if attributes:
        value.__dict__.update(attributes)
    for name, one in (slots or {}).items():
        setattr(value, name, one)


_HANDLERS = {
    b"\x80": lambda m: m._number("<B"),  # protocol
    b"\x95": lambda m: m._number("<Q"),  # frame
    b"(": lambda m: m.stack.append(_MARK),
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"J": lambda m: m.stack.append(m._number("<i")),
    b"K": lambda m: m.stack.append(m._number("<B")),
    b"M": lambda m: m.stack.append(m._number("<H")),
    b"\x8a": lambda m: m.integer(m._number("<B")),
    b"\x8b": lambda m: m.integer(m._number("<I")),
    b"G": lambda m: m.stack.append(m._number(">d")),
    b"X": lambda m: m.text(m._number("<I")),
    b"\x8c": lambda m: m.text(m._number("<B")),
    b"\x8d": lambda m: m.text(m._number("<Q")),
    b"B": lambda m: m.raw(m._number("<I")),
    b"C": lambda m: m.raw(m._number("<B")),
    b"\x8e": lambda m: m.raw(m._number("<Q")),
    b"U": lambda m: m.text(m._number("<B")),
    b"T": lambda m: m.text(m._number("<i")),
    b"}": lambda m: m.stack.append({}),
    b"]": lambda m: m.stack.append([]),
    b")": lambda m: m.stack.append(()),
    b"\x8f": lambda m: m.stack.append(set()),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"t": lambda m: m.stack.append(tuple(m._since_mark())),
    b"l": lambda m: m.stack.append(m._since_mark()),
    b"\x91": lambda m: m.stack.append(frozenset(m._since_mark())),
    b"a": lambda m: m.append([m.stack.pop()]),
    b"e": lambda m: m.append(m._since_mark()),
    b"\x90": lambda m: m.add(m._since_mark()),
    b"s": lambda m: m.set_items([*reversed([m.stack.pop(), m.stack.pop()])]),
    b"u": lambda m: m.set_items(m._since_mark()),
    b"q": lambda m: m._remember(m._number("<B")),
    b"r": lambda m: m._remember(m._number("<I")),
    b"\x94": lambda m: m._remember(len(m.memo)),
    b"h": lambda m: m.stack.append(m.memo[m._number("<B")]),
    b"j": lambda m: m.stack.append(m.memo[m._number("<I")]),
    b"c": lambda m: m.global_(m._line(), m._line()),
    b"\x93": lambda m: m.stack_global(),
    b"R": lambda m: m.reduce(),
    b"\x81": lambda m: m.new_object(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.stack.append(m.persistent(m.stack.pop())),
    b"0": lambda m: m.stack.pop(),
    b"2": lambda m: m.stack.append(m.stack[-1]),
}
