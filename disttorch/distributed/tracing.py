"""One rank's part of `disttorch run --trace`: what is heard of the program goes into the rank's trace file."""

import os
import weakref
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from ..autograd.op import Op
from ..comm import observing
from ..comm.call import describe
from ..profiler.recording import listen, unlisten
from ..profiler.trace_file import TraceFile


class Tracer:
    """Records modules' forwards and backwards, collectives, waits, optimizer steps, data loading and named ranges.

    A node of the graph bears the label of the innermost module in whose forward it was made, so that backward is seen
    by module too.
    """

    kinds = ("module", "sweep", "backward", "optimizer", "dataloader")

    def __init__(self, file: TraceFile):
        self._file = file
        self._modules: dict[int, tuple[int, int, Any]] = {}  # id -> labels of its forward and backward, weak reference
        self._nodes: dict[type, int] = {}  # labels of nodes that no module made

    def start(self) -> None:
        """Listen from now on. While nobody listens, nothing in the program is changed."""
        self._record = Op.record
        Op.record = self._tagging(Op.record)
        listen(self)
        observing.listen(self._operation)

    def stop(self) -> None:
        observing.listen(None)
        unlisten(self)
        Op.record = self._record
        self._file.close()

    def begin(self, name: str, args: tuple = (), kind: str = "user_annotation") -> Any:
        """A named range, or an optimizer's step, begins; the result is for `finish`."""
        return self._file.begin(self._file.label(name, kind))

    def finish(self, event: Any) -> None:
        self._file.end(event)

    def entering(self, point: Any) -> tuple[Callable, Callable]:
        """What is to be called before and after each call of a point's function; see `profiler.points.Point`."""
        if point.kind == "module":
            return self._enter_module, self._leave_module
        if point.kind == "backward":
            return self._enter_node, self.finish
        return lambda args: self.begin(point.describe(*args), args, point.kind), self.finish

    def _enter_module(self, args: tuple) -> Any:
        lane, module = self._file.lane(), args[0]
        known = self._modules.get(id(module))
        if known is None:
            known = self._name(module, whole=not lane.stack)
        lane.stack.append(known[1])
        return self._file.begin(known[0], lane), lane

    def _leave_module(self, event: Any) -> None:
        begun, lane = event
        lane.stack.pop()
        self._file.end(begun)

    def _name(self, module: Any, whole: bool) -> tuple[int, int, Any]:
        """Labels for a module that is called for the first time; `whole`: for all its parts too, by their paths."""
        for path, part in module.named_modules() if whole else [("", module)]:
            name = f"{path} ({type(part).__name__})" if path else type(part).__name__
            key = id(part)
            gone = weakref.ref(part, lambda _, key=key: self._modules.pop(key, None))
            self._modules[key] = self._file.label(name, "forward"), self._file.label(name, "backward"), gone
        return self._modules[id(module)]

    def _enter_node(self, args: tuple) -> Any:
        node = args[0]
        label = node.__dict__.get("module_label")
        if label is None:
            kind = type(node)
            label = self._nodes.get(kind)
            if label is None:
                label = self._nodes[kind] = self._file.label(kind.__name__, "backward")
        return self._file.begin(label)

    def _tagging(self, record: Callable) -> Callable:
        """`Op.record`, which also notes in the node the module that it belongs to."""
        lane_of = self._file.lane

        def tagging(op: Op, outs: tuple, args: tuple, kept: tuple) -> None:
            record(op, outs, args, kept)
            stack, node = lane_of().stack, outs[0]._node
            if stack and node is not None:
                node.module_label = stack[-1]

        return tagging

    def _operation(self, kind: str, what: Any) -> Callable[[], None]:
        """What `comm.observing` calls."""
        if kind == "wait":
            label = self._file.label(f"wait for {what}", kind)
        else:
            place = what.place.decode(errors="replace")
            label = self._file.label(_signature(what.fingerprint), kind, {"called at": place})
        return partial(self._file.end, self._file.begin(label))


@lru_cache(maxsize=4096)
def _signature(fingerprint: bytes) -> str:
    """all_reduce(float32[3, 4], op=sum)"""
    return describe(fingerprint, b"").removesuffix(" at ?")


def trace_from_environment() -> None:
    """Begin to trace this rank into DISTTORCH_TRACE, which the launcher sets to a path that is this rank's own.

    Processes that the program starts do not inherit it.
    """
    Tracer(TraceFile(os.environ.pop("DISTTORCH_TRACE"), int(os.environ["RANK"]))).start()
