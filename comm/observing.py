"""Who is told when an operation or a wait begins and ends: nobody, unless a tracer asks to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Listener = Callable[[str, Any], Callable[[], None]]

_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """From now on call `listener(kind, what)` where something begins, and the function that it returns at its end.

    kind "collective": `what` is the `Call`; kind "wait": `what` is the name of the operation that is waited for. It is
    called in the thread that carries out the operation or waits. None: tell nobody any more.
    """
    global _listener
    _listener = listener


def begin(kind: str, what: Any) -> Callable[[], None]:
    """Something begins; call the result at its end."""
    return _nothing if _listener is None else _listener(kind, what)


def _nothing() -> None:
    pass
