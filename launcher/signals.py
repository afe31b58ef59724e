"""Signals as something to wait for: they arrive at a file descriptor, beside workers' output."""

import os
import select
import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Signals:
    """While entered, the ending signals are collected in `received`; they, a child's end and SIGUSR1 (noted in
    `inspection_wanted`) make `fd` readable.

    A signal of hang-up that is being ignored (nohup) stays ignored. Only the main thread can enter it (ValueError).
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self.inspection_wanted = False
        self.fd = -1

    def __enter__(self) -> "Signals":
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        wanted = [s for s in ENDING if s != signal.SIGHUP or signal.getsignal(s) is not signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, self._note) for number in wanted}
        self._handlers[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._want_inspection)
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.fd)
        os.close(self._write)

    def clear(self) -> None:
        """Make `fd` wait for the next signal."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            return

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the next signal."""
        select.select([self.fd], [], [], seconds)
        self.clear()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)

    def _want_inspection(self, _number: int, _frame: FrameType | None) -> None:
        self.inspection_wanted = True

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        """The byte that Python wrote to the wake-up descriptor is all that is needed."""
