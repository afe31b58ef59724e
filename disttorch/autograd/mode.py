"""Whether operations are recorded, for each thread."""

import functools
import inspect
import threading
from collections.abc import Callable


class _Mode(threading.local):
    grad = True
    inference = False
    anomaly = False
    check_nan = True
    hooks: tuple = ()  # pairs (pack, unpack) of autograd.graph.saved_tensors_hooks, the innermost last
    hooks_refused: str | None = None  # the error of entering such hooks


mode = _Mode()
inferring: list = []  # an entry per `inference_mode` that goes on in any thread: while there is none, nobody need ask


class _Watching:
    """Who is told of every operation's node that is made, in whichever thread: functions of a node."""

    def __init__(self) -> None:
        self.made: tuple[Callable, ...] = ()
        self._lock = threading.Lock()

    def add(self, watcher: Callable) -> None:
        with self._lock:
            if watcher not in self.made:
                self.made += (watcher,)

    def remove(self, watcher: Callable) -> None:
        with self._lock:
            self.made = tuple([w for w in self.made if w != watcher])


watching = _Watching()


def watch(**settings) -> None:
    """Set some of the modes, among them `anomaly` or `hooks`, for which nodes are watched from then on."""
    for name, value in settings.items():
        setattr(mode, name, value)
    if mode.anomaly or mode.hooks:
        watching.add(_told)


def _told(node) -> None:
    """What anomaly detection and the hooks of saved tensors want of a node that was made in their thread."""
    from .anomaly import note
    from .saving import pack

    if mode.anomaly:
        note(node)
    if mode.hooks and node.saved:
        pack(node)


def is_grad_enabled() -> bool:
    return mode.grad


def is_inference_mode_enabled() -> bool:
    return mode.inference


class _Switch:
    """A context manager that is also a decorator of functions and generators."""

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                generator = function(*args, **kwargs)
                value = None
                while True:  # the mode holds while the generator runs, not while it is suspended
                    try:
                        with self._again():
                            produced = generator.send(value)
                    except StopIteration as stop:
                        return stop.value
                    value = yield produced

        else:

            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                with self._again():
                    return function(*args, **kwargs)

        return wrapped

    def _again(self):
        return type(self)()


class no_grad(_Switch):
    """Operations inside are not recorded. `with no_grad():`, `@no_grad()` or `@no_grad`."""

    _to = False

    def __new__(cls, function=None):
        self = super().__new__(cls)
        return self if function is None else self(function)

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):
            return super().__call__(function)
        to = self._to

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            before, mode.grad = mode.grad, to
            try:
                return function(*args, **kwargs)
            finally:
                mode.grad = before

        return wrapped

    def __enter__(self):
        self._before = mode.grad
        mode.grad = self._to

    def __exit__(self, *exc):
        mode.grad = self._before


class enable_grad(no_grad):
    """Operations inside are recorded, also inside `no_grad`."""

    _to = True


def _record(enabled: bool) -> bool:
    """Turn recording on or off; what it was before."""
    before, mode.grad = mode.grad, enabled
    return before


class set_grad_enabled(_Switch):
    """Turns recording on or off: at once when called as a function, back at the end of a `with`."""

    def __init__(self, mode: bool):
        self._enabled = bool(mode)
        self._before = _record(self._enabled)

    def __call__(self, function):
        mode.grad = self._before
        return super().__call__(function)

    def __enter__(self):
        mode.grad = self._enabled

    def __exit__(self, *exc):
        mode.grad = self._before

    def _again(self):
        return set_grad_enabled(self._enabled)

    def __repr__(self):
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self._enabled})"


class inference_mode(_Switch):
    """Like `no_grad`; tensors made inside are inference tensors (`Tensor.is_inference()` is True)."""

    def __new__(cls, mode=True):
        self = super().__new__(cls)
        if callable(mode):
            self._on = True
            return self(mode)
        self._on = bool(mode)
        return self

    def __enter__(self):
        self._before = mode.grad, mode.inference
        if self._on:
            mode.grad, mode.inference = False, True
            inferring.append(self)

    def __exit__(self, *exc):
        mode.grad, mode.inference = self._before
        if self._on:
            inferring.remove(self)

    def _again(self):
        return inference_mode(self._on)
