"""Groups put together by hand: ProcessGroup(store, rank, size), and then the backends that serve it.

    group = ProcessGroup(store, rank, size)
    gloo = ProcessGroupGloo(store, rank, size, timedelta(seconds=60))
    group._register_backend(disttorch.device("cpu"), ProcessGroup.BackendType.GLOO, gloo)
    dist.all_reduce(tensor, group=group)

Such a group needs no default one, and may come and go while others stay: frameworks that replace failed ranks, or serve
several models in one process, make them. `destroy_process_group` does not know it; its `shutdown` ends it.
"""

from typing import Any

from .process_group import BackendType, CommGroup, ProcessGroup, seconds

__all__ = ["AssembledGroup"]


class AssembledGroup(ProcessGroup):
    """A group of `size` ranks, served by what `_register_backend` is given; the first serves tensors of all devices,
    and its methods are the group's.
    """

    def __init__(self, store: Any, rank: int, size: int):
        self._place = rank, size
        self._backends: dict[str, tuple[BackendType, ProcessGroup]] = {}  # by type of device
        self._name(list(range(size)), "undefined", "", store)

    def _set_default_backend(self, backend_type: BackendType) -> None:
        """Name the backend that the group is said to have."""
        self.backend = backend_type.name.lower()

    def _register_backend(self, device: Any, backend_type: BackendType, backend: ProcessGroup | None = None) -> None:
        """Let `backend`, a group of the same ranks, serve tensors of a device; None: the one of the same type that is
        registered already. ValueError if there is none, or it is of other ranks.
        """
        if backend is None:
            backend = next((group for kind, group in self._backends.values() if kind == backend_type), None)
            if backend is None:
                raise ValueError(f"no backend of type {backend_type.name} is registered, and none is given")
        if (backend.rank(), backend.size()) != self._place:
            raise ValueError(
                f"the group is for rank {self.rank()} of {self.size()}, the backend for rank {backend.rank()} of "
                f"{backend.size()}"
            )
        self._backends[_kind(device)] = backend_type, backend

    def _get_backend(self, device: Any) -> ProcessGroup:
        """The backend that is registered for a device. RuntimeError if there is none."""
        if _kind(device) not in self._backends:
            raise RuntimeError(f"No backend type associated with device type {_kind(device)}")
        return self._backends[_kind(device)][1]

    def _first(self) -> ProcessGroup:
        for _, backend in self._backends.values():
            return backend
        raise RuntimeError("No backend type associated with device type cpu")

    @property
    def comm(self) -> Any:  # type: ignore[override]  other groups have one from the beginning
        """The first backend's. RuntimeError where none is registered."""
        return self._first().comm

    def __getattr__(self, name: str) -> Any:
        if not hasattr(CommGroup, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._first(), name)

    def rank(self) -> int:
        return self._place[0]

    def size(self) -> int:
        return self._place[1]

    def shutdown(self) -> None:
        """End all its backends."""
        for _, backend in self._backends.values():
            backend.comm.close()

    def abort(self) -> None:
        """Break all its backends."""
        for _, backend in self._backends.values():
            backend.abort()

    def set_timeout(self, timeout: Any) -> None:
        """Limit later operations of all its backends to `timeout`, a timedelta or seconds."""
        for _, backend in self._backends.values():
            backend.comm.timeout = seconds(timeout)


def _kind(device: Any) -> str:
    """The type of a device, or of its name."""
    return str(device).partition(":")[0]
