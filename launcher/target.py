"""What is to be launched, looked at once before any worker starts: whether it is there, and says `import torch`."""

import os
import shutil
import sys
from importlib.util import find_spec

from .config import LaunchConfig
from .errors import UsageError


def aliased() -> bool:
    """Whether `import torch` gives disttorch in this process: in the workers that it starts it is to do so too."""
    return getattr(sys.modules.get("torch"), "__name__", "") == "disttorch"


def check_target(config: LaunchConfig) -> None:
    """Raises UsageError (with the nearest name that is there) where the script, module or program is missing."""
    match config.kind:
        case "script":
            _check_script(config.target)
        case "module":
            _check_module(config.target)
        case "program":
            _check_program(config.target)


def _check_script(path: str) -> None:
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, "__main__.py")):
            raise UsageError(f"{path} is a folder without a __main__.py")
    elif not os.path.exists(path):
        raise UsageError(f"no such script: {path}{_nearest(path)}")
    elif not os.access(path, os.R_OK):
        raise UsageError(f"the script {path} cannot be read")


def _check_module(name: str) -> None:
    """Only the first part is looked for: looking for the rest would run the package's code."""
    top = name.partition(".")[0]
    sys.path.insert(0, os.getcwd())  # where `python -m` looks first
    try:
        found = find_spec(top) if top else None
    except (ImportError, ValueError):
        found = None  # not a module's name
    finally:
        sys.path.remove(os.getcwd())
    if found is None:
        raise UsageError(f"no such module: {name}")


def _check_program(name: str) -> None:
    if shutil.which(name) is not None:
        return
    if not os.path.isfile(name):
        raise UsageError(f"no such program: {name}")
    if os.sep not in name:
        raise UsageError(f"no such program: {name} (did you mean {os.path.join(os.curdir, name)}?)")
    raise UsageError(f"the program {name} is not executable (chmod +x makes it so)")


def _nearest(path: str) -> str:
    """A suggestion, for a slip of the finger."""
    from difflib import get_close_matches  # here: a right command line must not pay for it

    folder, name = os.path.split(path)
    there = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
    matches = get_close_matches(name, there, n=1, cutoff=0.7)
    return f" (did you mean {os.path.join(folder, matches[0])}?)" if matches else ""
