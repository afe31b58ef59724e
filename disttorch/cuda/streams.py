"""Streams and events. Simulated devices do everything at once, so theirs have nothing to wait for."""

from time import perf_counter

from .. import devices
from .properties import _index


class Stream:
    """A queue of work on a device; `with stream(s):` puts work on it."""

    def __init__(self, device=None, priority: int = 0):
        self.device = devices.device("cuda", _index(device))
        self._stream = None
        if not devices.is_simulated():
            with devices.cupy().cuda.Device(self.device.index):
                self._stream = devices.cupy().cuda.Stream(non_blocking=True)

    def synchronize(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def query(self) -> bool:
        return self._stream is None or self._stream.done

    def wait_event(self, event: "Event") -> None:
        if self._stream is not None and event._event is not None:
            self._stream.wait_event(event._event)

    def wait_stream(self, other: "Stream") -> None:
        self.wait_event(other.record_event())

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def __repr__(self):
        return f"<torch.cuda.Stream device={self.device}>"


class Event:
    """A point in a stream's work. elapsed_time is in milliseconds."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        self._event = None if devices.is_simulated() else devices.cupy().cuda.Event(disable_timing=not enable_timing)
        self._time = 0.0

    def record(self, stream: Stream | None = None) -> None:
        self._time = perf_counter()
        if self._event is not None:
            self._event.record(stream._stream if stream else None)

    def synchronize(self) -> None:
        if self._event is not None:
            self._event.synchronize()

    def wait(self, stream: Stream | None = None) -> None:
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        return self._event is None or self._event.done

    def elapsed_time(self, end_event: "Event") -> float:
        if self._event is None:
            return (end_event._time - self._time) * 1e3
        return devices.cupy().cuda.get_elapsed_time(self._event, end_event._event)


class stream:
    """`with stream(s):` puts the work inside on stream `s`; None changes nothing."""

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self):
        if self.stream is not None and self.stream._stream is not None:
            self.stream._stream.__enter__()

    def __exit__(self, *exc):
        if self.stream is not None and self.stream._stream is not None:
            self.stream._stream.__exit__(*exc)


def current_stream(device=None) -> Stream:
    """The stream on which work is put now."""
    made = object.__new__(Stream)
    made.device = devices.device("cuda", _index(device))
    made._stream = None if devices.is_simulated() else devices.cupy().cuda.get_current_stream()
    return made


default_stream = current_stream


def set_stream(stream: Stream) -> None:
    """Make `stream` this thread's current stream of its device."""
    if stream._stream is not None:
        stream._stream.use()
