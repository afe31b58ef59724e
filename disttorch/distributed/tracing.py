"""One rank's part of `disttorch run --trace`: what is heard of the program goes into the rank's trace file."""

import os
import weakref
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from .. import clock
from ..autograd.op import Op, OpNode
from ..comm import observing
from ..comm.call import describe
from ..profiler.recording import listen, timed, unlisten
from ..profiler.trace_file import END, WORDS, TraceFile, end


class Tracer:
    """Records modules' forwards and backwards, collectives, waits, optimizer steps, data loading and named ranges.

    A node of the graph bears the label of the innermost module in whose forward it was made, so that backward is seen
    by module too.
    """

    kinds = ("module", "sweep", "backward", "optimizer", "dataloader")

    def __init__(self, file: TraceFile):
        self._file = file
        self._modules: dict[int, tuple[int, int, Any]] = {}  # id -> labels of its forward and backward, weak reference

    def start(self) -> None:
        """Listen from now on. While nobody listens, nothing in the program is changed."""
        self._record = Op.record
        Op.record = self._tagging(Op.record)  # type: ignore[method-assign]
        OpNode.module_label = None  # type: ignore[attr-defined]
        listen(self)
        observing.listen(self._operation)

    def stop(self) -> None:
        observing.listen(None)
        unlisten(self)
        Op.record = self._record  # type: ignore[method-assign]
        del OpNode.module_label  # type: ignore[attr-defined]
        self._file.close()

    def begin(self, name: str, args: tuple = (), kind: str = "user_annotation") -> Any:
        """A named range, or an optimizer's step, begins; the result is for `finish`."""
        return self._file.here.lane.begin(self._file.label(name, kind))

    def finish(self, event: Any) -> None:
        end(event)

    def hearing(self, point: Any, function: Callable) -> Callable:
        """A point's `function`, each call of which is recorded; see `profiler.points.Point`."""
        if point.kind == "module":
            return self._hearing_module(function)
        if point.kind == "backward":
            return self._hearing_node(function)
        return timed(self, point, function)

    def _hearing_module(self, call: Callable) -> Callable:
        file, modules, nanoseconds = self._file, self._modules, clock.nanoseconds

        def heard(module, *args, **kwargs):
            lane = file.here.lane
            outer = lane.inside
            forward, lane.inside, _ = modules.get(id(module)) or self._name(module, whole=outer is None)
            at = lane.at  # `lane.begin`, without the time that its call takes
            if at == END:
                at = lane.turn()
            lane.at, words = at + WORDS, lane.words
            words[at + 2] = forward | lane.tag
            words[at] = nanoseconds()
            try:
                return call(module, *args, **kwargs)
            finally:
                words[at + 1] = nanoseconds()
                lane.inside = outer

        return heard

    def _hearing_node(self, backward: Callable) -> Callable:
        file, nanoseconds = self._file, clock.nanoseconds

        def heard(node: Any, grads: tuple):
            label = node.module_label
            if label is None:
                label = file.label(type(node).__name__, "backward")
            lane = file.here.lane
            at = lane.at  # `lane.begin`, without the time that its call takes
            if at == END:
                at = lane.turn()
            lane.at, words = at + WORDS, lane.words
            words[at + 2] = label | lane.tag
            words[at] = nanoseconds()
            try:
                return backward(node, grads)
            finally:
                words[at + 1] = nanoseconds()

        return heard

    def _name(self, module: Any, whole: bool) -> tuple[int, int, Any]:
        """Labels for a module that is called for the first time; `whole`: for all its parts too, by their paths."""
        for path, part in module.named_modules() if whole else [("", module)]:
            name = f"{path} ({type(part).__name__})" if path else type(part).__name__
            key = id(part)
            gone = weakref.ref(part, lambda _, key=key: self._modules.pop(key, None))
            self._modules[key] = self._file.label(name, "forward"), self._file.label(name, "backward"), gone
        return self._modules[id(module)]

    def _tagging(self, record: Callable) -> Callable:
        """`Op.record`, which also notes in the node the module that it belongs to."""
        file = self._file

        def tagging(op: Op, outs: tuple, args: tuple, kept: tuple) -> None:
            record(op, outs, args, kept)
            node = outs[0]._node
            if node is not None:
                node.module_label = file.here.lane.inside

        return tagging

    def _operation(self, kind: str, what: Any) -> Callable[[], None]:
        """What `comm.observing` calls."""
        if kind == "wait":
            label = self._file.label(f"wait for {what}", kind)
        else:
            place = what.place.decode(errors="replace")
            label = self._file.label(_signature(what.fingerprint), kind, {"called at": place})
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
