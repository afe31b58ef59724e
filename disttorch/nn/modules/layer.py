"""`@layer`: a module made of a function.

    @layer
    def LeakyReLU(input, *, negative_slope=1e-2, inplace=False):
        return F.leaky_relu(input, negative_slope, inplace)

is a class whose forward takes what stands before the asterisk and whose constructor takes, and keeps as attributes,
what stands after it. A keyword `training` is the module's own.
"""

import inspect
from collections.abc import Callable

from .module import Module


def layer(function=None, *, base=Module, show=None, prepare: Callable | None = None, buffers=(), unkept=()):
    """Make a subclass of `base` of a function.

    show     names of the settings in the printed form (None: all; `inplace` only if it is True), or a format with
             braces
    prepare  called with the dictionary of settings before they are kept; it may change or refuse them
    buffers  settings that are tensors (or None), registered as buffers
    unkept   settings that `prepare` takes away: the function does not get them
    """
    if function is None:
        return lambda f: layer(f, base=base, show=show, prepare=prepare, buffers=buffers, unkept=unkept)
    name = function.__name__
    parameters = inspect.signature(function).parameters.values()
    inputs = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    used = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in unkept]
    settings = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "training"]
    constructor = inspect.Signature([p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in settings])
    shown = [p.name for p in settings] if show is None else show.replace(",", " ").split()

    def __init__(self, *args, **kwargs):
        base.__init__(self)
        try:
            bound = constructor.bind(*args, **kwargs)
        except TypeError as e:
            raise TypeError(f"{name}.__init__() {e}") from None
        bound.apply_defaults()
        values = bound.arguments
        if prepare is not None:
            prepare(values)
        for key in buffers:
            self.register_buffer(key, values.pop(key))
        self.__dict__.update(values)

    if used:

        def forward(self, *inputs, **named):
            return function(*inputs, **named, **{key: getattr(self, key) for key in used})

    else:

        def forward(self, *inputs, **named):
            return function(*inputs, **named)

    def extra_repr(self):
        if show is not None and "{" in show:
            return show.format_map(vars(self))
        return ", ".join(
            f"{key}={getattr(self, key)!r}" for key in shown if key != "inplace" or self.inplace or show is not None
        )

    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    __init__.__signature__ = inspect.Signature([me, *constructor.parameters.values()])
    forward.__signature__ = inspect.Signature([me, *inputs])
    for method in (__init__, forward, extra_repr):
        method.__qualname__ = f"{name}.{method.__name__}"
    body = {"__init__": __init__, "forward": forward, "extra_repr": extra_repr}
    made = type(name, (base,), body | {"__doc__": function.__doc__, "__module__": function.__module__})
    made.__qualname__ = name
    return made
