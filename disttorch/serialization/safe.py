"""What files may name beyond tensors and plain containers: the classes and functions that a program calls safe."""

import sys
from typing import Any

_safe: dict[str, Any] = {}  # by the full name that stands in a file


def _named(safe_globals: list) -> dict[str, Any]:
    named = {}
    for entry in safe_globals:
        what, name = entry if isinstance(entry, tuple) else (entry, None)
        if not callable(what) or not isinstance(name, str | None):
            raise TypeError(f"Expected a callable or a tuple of a callable and a str, but got {entry!r}")
        named[name or f"{what.__module__}.{what.__qualname__}"] = what
    return named


def add_safe_globals(safe_globals: list) -> None:
    """Let `load` use these classes and functions from now on, or (one, "module.name") where files name it otherwise."""
    _safe.update(_named(safe_globals))


def get_safe_globals() -> list:
    """What `load` may use."""
    return list(_safe.values())


def clear_safe_globals() -> None:
    """Let `load` use tensors and plain containers alone."""
    _safe.clear()


class safe_globals:
    """`with safe_globals([Net]):` lets `load` use these classes and functions inside."""

    def __init__(self, safe_globals: list):
        self._named = _named(safe_globals)

    def __enter__(self) -> None:
        self._before = dict(_safe)
        _safe.update(self._named)

    def __exit__(self, *error: object) -> None:
        _safe.clear()
        _safe.update(self._before)


def find_safe(module: str, name: str) -> Any:
    """The safe class or function that a file calls module.name (PyTorch's name for one of ours too), or None."""
    found = _safe.get(f"{module}.{name}")
    if found is None and module.partition(".")[0] == "torch":
        ours = sys.modules.get(f"disttorch{module[len('torch') :]}")
        named = getattr(ours, name, None)
        found = named if callable(named) and is_safe(named) else None
    return found


def is_safe(what: Any) -> bool:
    return any(what is one for one in _safe.values())
