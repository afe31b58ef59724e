"""What becomes of workers' output: a plan of where each stream goes, and whole lines that each bear their rank."""

from dataclasses import dataclass
from enum import Enum

from .config import LaunchConfig, Std

LONGEST_LINE = 1 << 20  # bytes; a longer line is cut, so that endless binary output cannot fill the memory
COLOURS = (36, 33, 35, 32, 34, 31, 96, 93, 95, 92, 94, 91)  # ANSI foregrounds, by local rank


class Route(Enum):
    """What one of a worker's streams is connected to."""

    INHERIT = "the launcher's own stream"
    PIPE = "the launcher, which adds the rank and shows it"
    DISCARD = "nothing"
    FILE = "a file"
    TEE = "the launcher, which shows it and writes it to a file"


@dataclass(frozen=True)
class Routes:
    """Where a worker's two streams go. `joined`: one pipe for both, so that their order is kept."""

    out: Route
    err: Route
    joined: bool


def plan_routes(config: LaunchConfig, local_rank: int, same_console: bool) -> Routes:
    """The routes of a worker; `same_console` says that the launcher's stdout and stderr are one file.

    The only worker of a job is not in anybody's way: it writes straight to the launcher's streams.
    """
    alone = config.nproc_per_node == config.nnodes == 1
    visible = config.shown is None or local_rank in config.shown

    def route(stream: Std) -> Route:
        if stream & config.tee.get(local_rank, Std.NONE):
            return Route.TEE if visible else Route.FILE
        if stream & config.redirects.get(local_rank, Std.NONE):
            return Route.FILE
        if not visible:
            return Route.DISCARD
        return Route.INHERIT if alone else Route.PIPE

    out, err = route(Std.OUT), route(Std.ERR)
    return Routes(out, err, joined=same_console and out is err is Route.PIPE)


class LinePrefixer:
    """Turns a stream's chunks, cut anywhere, into whole lines with a prefix. Bytes in, bytes out: any encoding passes.

    A carriage return ends a line too, since several ranks' lines cannot be overwritten in place; with `overwrite` (a
    terminal) only what it leaves visible is kept, and `visible_rest` is what the line under way shows now.
    """

    def __init__(self, prefix: bytes, overwrite: bool = False) -> None:
        self.prefix = prefix
        self.overwrite = overwrite
        self._rest = b""  # an unfinished line

    def feed(self, chunk: bytes) -> bytes:
        """The lines that `chunk` completes."""
        text = self._rest + chunk
        end = text.rfind(b"\n") + 1
        if not self.overwrite:
            end = max(end, text.rfind(b"\r", 0, len(text) - 1) + 1)  # as the last byte it may be half of a "\r\n"
        if len(text) - end > LONGEST_LINE:
            end = len(text)
        self._rest = text[end:]
        return self._format(text[:end])

    def flush(self) -> bytes:
        """The last line, which nothing ended."""
        rest, self._rest = self._rest, b""
        return self._format(rest)

    def visible_rest(self) -> bytes:
        """What a terminal would show of the unfinished line."""
        return _last_state(self._rest)

    def _format(self, text: bytes) -> bytes:
        if b"\r" in text:
            state = _last_state if self.overwrite else _every_state
            text = b"\n".join(map(state, text.replace(b"\r\n", b"\n").split(b"\n")))
        if not text:
            return b""
        return self.prefix + text.removesuffix(b"\n").replace(b"\n", b"\n" + self.prefix) + b"\n"


def _last_state(line: bytes) -> bytes:
    """What is left on a terminal of a line that carriage returns started anew."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _every_state(line: bytes) -> bytes:
    """All that a line showed in turn, a line each."""
    return b"\n".join(filter(None, line.split(b"\r")))


def rank_prefix(rank: int, local_rank: int, colour: bool) -> bytes:
    text = f"[rank{rank}]:"
    return (f"\x1b[{COLOURS[local_rank % len(COLOURS)]}m{text}\x1b[0m " if colour else f"{text} ").encode()
