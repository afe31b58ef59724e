"""Tensors as PyTorch prints them.

All numbers of a tensor get one format: integers where all are whole, scientific where they differ much in size, else a
fixed number of decimals. Above `threshold` elements only the edges are shown, and only they decide the format.
"""

import contextlib
import math
from types import SimpleNamespace

import numpy as np

from . import dtypes
from .autograd.mode import no_grad
from .autograd.variable import Tensor
from .devices import CPU, META, scope, to_device

RATIO, LARGE, SMALL = 1000.0, 1e8, 1e-4  # max/min, max and min of the magnitudes from which on "scientific" is chosen


_DEFAULT = {
    "precision": 4,  # digits after the point
    "threshold": 1000,  # elements; larger tensors are summarised
    "edgeitems": 3,  # shown at each end of a summarised dimension
    "linewidth": 80,  # characters
    "sci_mode": None,  # None: chosen by the numbers
}
_PROFILES = {
    "default": _DEFAULT,
    "short": {**_DEFAULT, "precision": 2, "edgeitems": 2},
    "full": {**_DEFAULT, "threshold": math.inf},
}
_options = SimpleNamespace(**_DEFAULT)


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """How tensors are printed.

    precision: digits after the point; threshold: elements above which a tensor is summarised; edgeitems: how many of
    them are shown at each end of a dimension; linewidth: characters a line; sci_mode: scientific notation always
    (True), never (False) or by the numbers (None); profile: "default", "short" or "full", which the others amend.
    """
    if profile is not None:
        vars(_options).update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    vars(_options).update({name: value for name, value in given.items() if value is not None})
    _options.sci_mode = sci_mode


def get_printoptions() -> dict:
    """The options in force, as set_printoptions takes them."""
    return dict(vars(_options))


@contextlib.contextmanager
def printoptions(**options):
    """The options of set_printoptions, inside a `with`."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


class _Format:
    """One way of writing a number, for all elements of `shown`."""

    def __init__(self, shown: np.ndarray):
        self.floating = shown.dtype.kind == "f"
        if not self.floating:
            self.spec = ""
            self.width = max((len(str(v)) for v in shown.ravel().tolist()), default=1)
            return
        values = shown.astype(np.float64).ravel()
        values = values[np.isfinite(values) & (values != 0)]
        self.whole, scientific, self.width = True, False, 1
        if values.size:
            size = np.abs(values)
            low, high = size.min(), size.max()
            self.whole = bool((values == np.ceil(values)).all())
            scientific = high / low > RATIO or high > LARGE or low < SMALL
            if _options.sci_mode is not None:
                scientific = _options.sci_mode
        self.whole = self.whole and not scientific
        self.spec = f".{_options.precision}e" if scientific else ".0f" if self.whole else f".{_options.precision}f"
        if values.size:
            self.width = max(len(format(v, self.spec)) for v in values.tolist()) + self.whole

    def __call__(self, value) -> str:
        text = format(value, self.spec) if self.floating else str(value)
        if self.floating and self.whole and math.isfinite(value):
            text += "."
        return text.rjust(self.width)


class _ComplexFormat:
    def __init__(self, shown: np.ndarray):
        self.real, self.imag = _Format(shown.real), _Format(shown.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value) -> str:
        imag = self.imag(value.imag).lstrip() + "j"
        return self.real(value.real) + (imag if imag[0] in "+-" else "+" + imag)


def _edges(length: int) -> list[slice]:
    """The parts of a dimension that a summary shows: the whole of a short one."""
    n = _options.edgeitems
    return [slice(0, n), slice(length - n, length)] if length > 2 * n else [slice(0, length)]


def _summary(data: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    for dim, length in enumerate(data.shape):
        parts = [data[(slice(None),) * dim + (part,)] for part in _edges(length)]
        data = np.concatenate(parts, dim) if len(parts) > 1 else data
    return data


def _numbers(data: np.ndarray, write, indent: int, summarize: bool) -> str:
    """`data` in brackets; `indent`: the column at which it begins."""
    if data.ndim == 0:
        return write(data.item())
    parts = _edges(data.shape[0]) if summarize else [slice(None)]
    if data.ndim == 1:
        pieces = [[write(v) for v in data[part].tolist()] for part in parts]
        items = pieces[0] if len(pieces) == 1 else [*pieces[0], " ...", *pieces[1]]
        per_line = max(1, (_options.linewidth - indent) // (write.width + 2))
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    pieces = [[_numbers(row, write, indent + 1, summarize) for row in data[part]] for part in parts]
    rows = pieces[0] if len(pieces) == 1 else [*pieces[0], "...", *pieces[1]]
    return "[" + ("," + "\n" * (data.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _host(t: Tensor) -> np.ndarray:
    """The elements on the host, in a type that NumPy writes."""
    with scope(t.device):
        data = t._data if t.device.host else to_device(t._data, t.device, CPU)
    return data.astype(np.float32) if data.dtype.kind == "V" else data


def tensor_repr(t: Tensor, name: str = "tensor") -> str:
    """What `repr` of a tensor gives: its numbers, and of size, device, dtype and place in the graph what is not
    obvious.
    """
    with no_grad():
        prefix = name + "("
        data, default = t._data, dtypes.get_default_dtype()
        suffixes = [f"device='{t.device}'"] if t.device.type != "cpu" else []
        if t.device is META:
            text, obvious = "...", (default,)
            suffixes.append(f"size={tuple(data.shape)}")
        elif data.size == 0:
            text = "[]"
            if data.ndim != 1:
                suffixes.append(f"size={tuple(data.shape)}")
            obvious = (default,)
        else:
            text = _content(t, len(prefix))
            obvious = (default, default.to_complex(), dtypes.int64, dtypes.bool_)
        if t.dtype not in obvious:
            suffixes.append(f"dtype={t.dtype}")
    node = t.grad_fn
    if node is not None:
        suffixes.append(f"grad_fn=<{node.name()}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes(prefix + text, suffixes, len(prefix))


def _content(t: Tensor, indent: int) -> str:
    summarize = t._data.size > _options.threshold
    data = _host(t)
    shown = _summary(data) if summarize else data
    write = (_ComplexFormat if data.dtype.kind == "c" else _Format)(shown)
    if summarize and not _options.edgeitems:
        return "[" * data.ndim + "..." + "]" * data.ndim
    return _numbers(data, write, indent, summarize)


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"
