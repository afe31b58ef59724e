"""torch.jit: there is no compiler, so functions and modules are what they were; the decorators hand them back."""

import threading
from collections.abc import Callable
from typing import Any, Final  # noqa: F401

from ..nn import Module


def _itself(obj: Any = None, *_: Any, **__: Any) -> Any:
    return obj


def _decorator(fn: Any = None, *_: Any, **__: Any) -> Any:
    """`fn` itself; without one, a decorator that gives it back."""
    return fn if callable(fn) else _itself


def script(obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> Any:
    """`obj` itself: it runs as the Python that it is."""
    return obj


def trace(func: Any, example_inputs: Any = None, *_: Any, example_kwarg_inputs: Any = None, **__: Any) -> Any:
    """`func` itself, run once on the example inputs as a check that it takes them."""
    if example_inputs is not None:
        func(*(example_inputs if isinstance(example_inputs, tuple | list) else (example_inputs,)))
    elif example_kwarg_inputs is not None:
        func(**example_kwarg_inputs)
    return func


freeze = optimize_for_inference = _itself
ignore = unused = export = script_method = script_if_tracing = interface = _decorator


class ScriptModule(Module):
    """A base class for modules that are written to be compiled. `script` gives no instances of it."""


def is_scripting() -> bool:
    """False: nothing is ever compiled."""
    return False


is_tracing = is_scripting


def annotate(the_type: Any, the_value: Any) -> Any:
    """`the_value`; the type is for readers."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:  # PyTorch's name
    """Whether `obj` is an instance of a type (of containers too: List[int] asks for a list)."""
    from typing import get_origin

    kinds = target_type if type(target_type) in (tuple, list) else (target_type,)
    return any(issubclass(type(obj), get_origin(kind) or kind) for kind in kinds)


def fork(func: Callable, *args: Any, **kwargs: Any) -> Any:
    """A future of func(*args, **kwargs), which runs here and now."""
    from ..futures import Future

    future = Future()
    future.set_result(func(*args, **kwargs))
    return future


def wait(future: Any) -> Any:
    """The value of a future."""
    return future.wait()


class _Optimized(threading.local):
    def __call__(self, should_optimize: bool) -> "_Optimized":
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


optimized_execution = _Optimized()


def save(m: Any, f: Any, _extra_files: Any = None) -> None:
    """NotImplementedError: there is no format for compiled programs."""
    raise NotImplementedError(
        "torch.jit.save: there are no compiled programs here. Save the state, torch.save(model.state_dict(), f), "
        "and make the model from its class before load_state_dict."
    )


def load(f: Any, map_location: Any = None, _extra_files: Any = None, **_: Any) -> Any:
    """NotImplementedError: compiled programs cannot be run."""
    raise NotImplementedError(
        "torch.jit.load: TorchScript programs cannot be run here. Save the model's state with PyTorch, "
        "torch.save(model.state_dict(), f), and load it into the model's class."
    )
