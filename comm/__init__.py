"""Arrays and bytes between ranks: collectives, point-to-point messages and the store.

Names are loaded when first used, so that `import disttorch.comm` costs next to nothing.
"""

from importlib import import_module

_HOMES = {
    "errors": (
        "CommError PeerLost CollectiveMismatch Deadlock DeadlineExceeded RanksMissing StoreError StoreTimeout "
        "QueueEmpty GroupClosed MessageError SecurityError"
    ),
    "store": "Store HashStore FileStore PrefixStore",
    "store_server": "StoreServer StoreClient",
    "security": "new_secret",
    "meeting": "connect inproc_groups host_identity",
    "group": "Group",
    "work": "Work",
    "liveness": "notify_death",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name in _HOME_OF:
        value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
