"""`import torch` answered with disttorch, and `import torchvision` with disttorch.vision.

    import disttorch.alias; disttorch.alias.install()      # or: disttorch run --as-torch script.py
    import torch, torch.nn as nn

An installed PyTorch is then hidden from this process. `torch.__version__` names the PyTorch whose API is answered.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from multiprocessing import spawn

API_VERSION = "2.13.0"  # of PyTorch, whose names, signatures and texts are answered
_HEADS = {"torch": "disttorch", "torchvision": "disttorch.vision"}


def _ours(name: str) -> str | None:
    """The module of ours that answers for `torch…` or `torchvision…`; None for other names."""
    head, _, rest = name.partition(".")
    if head not in _HEADS:
        return None
    return _HEADS[head] + ("." + rest if rest else "")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path=None, target=None):
        name = _ours(fullname)
        if name is None:
            return None
        if importlib.util.find_spec(name) is None:
            text = f"No module named '{fullname}': disttorch answers for it, and has no '{name}'"
            raise ModuleNotFoundError(text, name=fullname)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec):
        module = importlib.import_module(_ours(spec.name))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        # The import system has put the alias's spec on our module: give its own back, relative imports need it.
        module.__spec__ = module.__spec__.loader_state


_finder = _Finder()


class _Installer:
    """Pickled, a call of `install`. It travels to processes that multiprocessing starts, ahead of their main module."""

    def __reduce__(self):
        return install, ()


def _tell_children() -> None:
    """Let processes started by "spawn" or "forkserver" answer `import torch` too: their main module may say it."""
    described = spawn.get_preparation_data
    if not hasattr(described, "without_alias"):

        def with_alias(name):
            return {**described(name), "disttorch": _Installer()}

        with_alias.without_alias = described
        spawn.get_preparation_data = with_alias


def install() -> None:
    """Answer `import torch` and `import torchvision` from now on. RuntimeError if the real ones are imported."""
    import disttorch

    for head in _HEADS:
        there = sys.modules.get(head)
        if there is not None and not there.__name__.startswith("disttorch"):
            raise RuntimeError(f"{head} is already imported: install the alias before the first `import {head}`")
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        disttorch.__version__ = API_VERSION
        _tell_children()


def uninstall() -> None:
    """Undo `install`; modules already imported under the alias's names are forgotten."""
    import disttorch

    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
        disttorch.__version__ = disttorch.version.__version__
        spawn.get_preparation_data = spawn.get_preparation_data.without_alias
    for name in [n for n in sys.modules if n.partition(".")[0] in _HEADS]:
        if sys.modules[name].__name__.startswith("disttorch"):
            del sys.modules[name]
