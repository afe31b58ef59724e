"""One rank's part of `disttorch run --trace`: what is heard of the program goes into the rank's trace file."""

import os
import weakref
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from ..autograd import sweep
from ..autograd.mode import watching
from ..autograd.node import Node
from ..clock import nanoseconds
from ..comm import observing
from ..comm.call import describe
from ..profiler.recording import listen, unlisten
from ..profiler.trace_file import END, NONE, SPAN_WORDS, TURN, TURN_WORDS, Lane, TraceFile, end

_MISSING = object()


class _Backward(Lane):
    """Hears the sweeps of a thread, one after another: nodes of one module in a row are one event."""

    __slots__ = ("_file", "_free", "_last", "_whole")
    record = TURN

    def begins(self, file: TraceFile) -> "_Backward":
        """A sweep begins."""
        self._file, self._free, self._last = file, file.here.free, None
        self._whole = file.here.lane.begin(file.label("backward", "sweep"))
        return self

    def runs(self, node: Node) -> None:
        try:
            label = node.note
        except AttributeError:  # made before anybody noted anything
            label = None
        if label is None:
            label = self._file.label(type(node).__name__, "backward")
        elif label is self._last:
            return
        self._last = label
        at = self.at
        if at == END:
            at = self.turn()
        self.at = at + TURN_WORDS
        words = self.words
        words[at + 1] = label
        words[at] = nanoseconds()

    def rests(self) -> None:
        at = self.turn() if self.at == END else self.at
        self.at = at + TURN_WORDS
        self.words[at + 1] = NONE
        self.words[at] = nanoseconds()

    def ends(self) -> None:
        end(self._whole)
        self._free.append(self)


class Tracer:
    """Records modules' forwards and backwards, collectives, waits, optimizer steps, data loading and named ranges.

    A node of the graph bears the label of the innermost module in whose forward it was made, so that backward is seen
    by module too. Nodes of one module that run one after another are one event, which lasts until another's turn.
    """

    kinds = ("module", "optimizer", "dataloader")

    def __init__(self, file: TraceFile):
        self._file = file
        self._modules: dict[int, tuple[int, int]] = {}  # id -> labels of its forward and its backward
        self._gone: dict[int, weakref.ref] = {}  # what takes a module out of these when it goes
        self._label_node = self._labelling_nodes()

    def start(self) -> None:
        """Listen from now on. While nobody listens, nothing in the program is changed."""
        watching.add(self._label_node)
        sweep.listen(self._hear_sweep)
        listen(self)
        observing.listen(self._operation)

    def stop(self) -> None:
        observing.listen(None)
        unlisten(self)
        sweep.listen(None)
        watching.remove(self._label_node)
        self._file.close()

    def begin(self, name: str, args: tuple = (), kind: str = "user_annotation") -> Any:
        """A named range, or an optimizer's step, begins; the result is for `finish`."""
        return self._file.here.lane.begin(self._file.label(name, kind))

    finish = staticmethod(end)

    def hearing(self, point: Any, function: Callable) -> Callable:
        """A point's `function`, each call of which is recorded; see `profiler.points.Point`."""
        return self._hearing_module(function) if point.kind == "module" else self._hearing_call(point, function)

    # What follows has few calls and loads: in a step its code and data have mostly left the caches, and every piece of
    # it takes several times as long as in a loop. Modules' and nodes' events are written as `lane.begin` and `end` do,
    # without these calls: a network of thin layers calls a module, and runs a node, every hundred microseconds.

    def _hearing_call(self, point: Any, function: Callable) -> Callable:
        here, label, describe, kind = self._file.here, self._file.label, point.describe, point.kind

        def heard(*args, **named):
            words, at = here.lane.begin(label(describe(*args), kind))
            try:
                return function(*args, **named)
            finally:
                words[at] = nanoseconds()

        return heard

    def _hearing_module(self, call: Callable) -> Callable:
        here, modules = self._file.here, self._modules

        def heard(module, first=_MISSING, /, *rest, **named):
            lane = here.lane
            outer = lane.inside
            try:
                label, lane.inside = modules[id(module)]
            except KeyError:
                label, lane.inside = self._name(module, whole=outer is None)
            at = lane.at
            if at == END:
                at = lane.turn()
            lane.at = at + SPAN_WORDS
            words = lane.words
            words[at + 2] = label
            words[at] = nanoseconds()
            try:
                if named or rest or first is _MISSING:
                    return call(module, *(() if first is _MISSING else (first, *rest)), **named)
                return call(module, first)  # mostly so; handing on *args and **kwargs takes five times as long
            finally:
                words[at + 1] = nanoseconds()
                lane.inside = outer

        return heard

    def _hear_sweep(self) -> _Backward:
        """A sweep begins in this thread: who hears it."""
        file, free = self._file, self._file.here.free
        return (free.pop() if free else file.new_lane(_Backward, file.here.thread)).begins(file)

    def _name(self, module: Any, whole: bool) -> tuple[int, int]:
        """The labels of a module that is called for the first time; `whole`: of all its parts too, by their paths."""
        for path, part in module.named_modules() if whole else [("", module)]:
            name, key = f"{path} ({type(part).__name__})" if path else type(part).__name__, id(part)
            self._modules[key] = self._file.label(name, "forward"), self._file.label(name, "backward")
            self._gone[key] = weakref.ref(part, lambda _, key=key: (self._modules.pop(key), self._gone.pop(key)))
        return self._modules[id(module)]

    def _labelling_nodes(self) -> Callable[[Node], None]:
        """What notes in a new node the module that it belongs to."""
        here = self._file.here

        def label_node(node: Node) -> None:
            node.note = here.lane.inside

        return label_node

    def _operation(self, kind: str, what: Any) -> Callable[[], None]:
        """What `comm.observing` calls."""
        if kind == "wait":
            label = self._file.label(f"wait for {what}", kind)
        else:
            place = what.place.decode(errors="replace")
            label = self._file.label(_signature(what.fingerprint), kind, called_at=place)
        return partial(end, self._file.here.lane.begin(label))


@lru_cache(maxsize=4096)
def _signature(fingerprint: bytes) -> str:
    """all_reduce(float32[3, 4], op=sum)"""
    return describe(fingerprint, b"").removesuffix(" at ?")


def trace_from_environment() -> None:
    """Begin to trace this rank into DISTTORCH_TRACE, which the launcher sets to a path that is this rank's own.

    Processes that the program starts do not inherit it.
    """
    Tracer(TraceFile(os.environ.pop("DISTTORCH_TRACE"), int(os.environ["RANK"]))).start()
