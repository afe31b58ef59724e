"""Streams and events. Simulated devices do everything at once, so theirs have nothing to wait for."""

import threading
from itertools import count
from time import perf_counter

from .. import devices
from .properties import _index


class _Chosen(threading.local):
    """The streams of simulated devices that this thread puts work on, where they are not the default ones."""

    def __init__(self):
        self.streams: dict[int, Stream] = {}


_chosen = _Chosen()
_numbers = count(1)  # of simulated streams; 0 is every device's default one


class Stream:
    """A queue of work on a device; `with s:` or `with stream(s):` puts work on it. Two that are the same are equal.

    Attributes: device, cuda_stream (its handle).
    """

    def __init__(self, device=None, priority: int = 0):
        self._entered: list[StreamContext] = []
        self.device = devices.device("cuda", _index(device))
        self._stream = None
        if devices.is_simulated():
            self.cuda_stream = next(_numbers)
            return
        with devices.cupy().cuda.Device(self.device.index):
            self._stream = devices.cupy().cuda.Stream(non_blocking=True)
        self.cuda_stream = self._stream.ptr

    @classmethod
    def _of(cls, index: int, queue) -> "Stream":
        """CuPy's stream of a device; None: a simulated device's default one."""
        self = object.__new__(cls)
        self._entered = []
        self.device, self._stream = devices.device("cuda", index), queue
        self.cuda_stream = 0 if queue is None else queue.ptr
        return self

    def __eq__(self, other):
        return isinstance(other, Stream) and (self.device, self.cuda_stream) == (other.device, other.cuda_stream)

    def __hash__(self):
        return hash((self.device, self.cuda_stream))

    def __enter__(self) -> "Stream":
        self._entered.append(StreamContext(self))
        self._entered[-1].__enter__()
        return self

    def __exit__(self, *exc) -> None:
        self._entered.pop().__exit__(*exc)

    def synchronize(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def query(self) -> bool:
        return self._stream is None or self._stream.done

    def wait_event(self, event: "AcceleratorEvent") -> None:
        if self._stream is not None and event._event is not None:
            self._stream.wait_event(event._event)

    def wait_stream(self, other: "Stream") -> None:
        self.wait_event(other.record_event())

    def record_event(self, event: "AcceleratorEvent | None" = None) -> "AcceleratorEvent":
        event = event or Event()
        event.record(self)
        return event

    def __repr__(self):
        return f"<torch.cuda.Stream device={self.device}>"


class AcceleratorEvent:
    """A point in a stream's work (torch.Event). elapsed_time is in milliseconds."""

    def __init__(self, device=None, *, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        self.device = devices.device("cuda", _index(device))
        self._event, self._time = None, 0.0
        if not devices.is_simulated():
            with devices.cupy().cuda.Device(self.device.index):
                self._event = devices.cupy().cuda.Event(disable_timing=not enable_timing)

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

    def elapsed_time(self, end_event: "AcceleratorEvent") -> float:
        if self._event is None:
            return (end_event._time - self._time) * 1e3
        return devices.cupy().cuda.get_elapsed_time(self._event, end_event._event)


class Event(AcceleratorEvent):
    """A point in a stream's work. elapsed_time is in milliseconds."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        super().__init__(enable_timing=enable_timing)


class StreamContext:
    """`with StreamContext(s):` puts the work inside on stream `s`, on its device; None changes nothing."""

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self):
        if self.stream is None:
            return
        index = self.stream.device.index
        self._device, self._before = devices.current_cuda(), current_stream(index)
        devices.set_current_cuda(index)
        set_stream(self.stream)

    def __exit__(self, *exc):
        if self.stream is not None:
            set_stream(self._before)
            devices.set_current_cuda(self._device)


def stream(stream: Stream | None) -> StreamContext:
    """`with stream(s):` puts the work inside on stream `s`, on its device; None changes nothing."""
    return StreamContext(stream)


def current_stream(device=None) -> Stream:
    """The stream on which this thread puts work on a device."""
    index = _index(device)
    if devices.is_simulated():
        return _chosen.streams.get(index) or default_stream(index)
    with devices.cupy().cuda.Device(index):
        return Stream._of(index, devices.cupy().cuda.get_current_stream())


def default_stream(device=None) -> Stream:
    """The stream on which work on a device is put unless another is chosen."""
    return Stream._of(_index(device), None if devices.is_simulated() else devices.cupy().cuda.Stream.null)


def set_stream(stream: Stream) -> None:
    """Make `stream` this thread's current stream of its device."""
    if stream._stream is None:
        _chosen.streams[stream.device.index] = stream
    else:
        with devices.cupy().cuda.Device(stream.device.index):
            stream._stream.use()
