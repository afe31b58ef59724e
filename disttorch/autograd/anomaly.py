"""Anomaly detection: a failing or NaN-producing gradient names the line of the forward that it belongs to."""

import traceback
import warnings
from collections.abc import Sequence

import numpy as np

from .mode import mode, watch
from .node import Node


def note(node: Node) -> None:
    """Remember where the operation stands in the user's program."""
    node.trace = "".join(
        traceback.format_list([f for f in traceback.extract_stack() if "/disttorch/" not in f.filename])
    )


def guarded(node: Node, grads: tuple) -> Sequence:
    try:
        results = node.backward(grads)
    except Exception:
        _tell(node)
        raise
    if mode.check_nan:
        for i, g in enumerate(results):
            if g is not None and g._data.dtype.kind in "fcV" and bool(np.isnan(g._data).any()):
                _tell(node)
                raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
    return results


def _tell(node: Node) -> None:
    where = (
        node.trace
        or "No forward pass information available. Enable detect anomaly during forward pass for more information.\n"
    )
    warnings.warn(
        f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{where}", stacklevel=2
    )


class set_detect_anomaly:
    """Turn anomaly detection on or off: at once when called, back at the end of a `with`."""

    def __init__(self, mode_on: bool, check_nan: bool = True):
        self._before = mode.anomaly, mode.check_nan
        watch(anomaly=bool(mode_on), check_nan=check_nan)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        anomaly, check_nan = self._before
        watch(anomaly=anomaly, check_nan=check_nan)


class detect_anomaly(set_detect_anomaly):
    """`with detect_anomaly():` errors in backward name the forward's line, and NaN gradients are errors."""

    def __init__(self, check_nan: bool = True):
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomalies are looked for (`set_detect_anomaly`)."""
    return mode.anomaly
