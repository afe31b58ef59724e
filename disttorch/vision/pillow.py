"""Pillow, imported when the first picture is touched: `pip install disttorch[vision]` brings it."""

import functools
import importlib
import sys
from types import ModuleType


@functools.cache
def pillow(name: str = "Image") -> ModuleType:
    """The module `PIL.<name>`; ModuleNotFoundError that says what to install where Pillow is absent."""
    try:
        return importlib.import_module(f"PIL.{name}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pictures need Pillow, which is not installed: pip install 'disttorch[vision]'", name="PIL"
        ) from error


def is_picture(value: object) -> bool:
    """Whether `value` is a PIL image; never imports Pillow, for without it there are none."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)
