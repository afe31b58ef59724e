"""torch.hub: models from a folder's hubconf.py, and weights from the network kept in a cache folder."""

import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # resnet18-bf5a0000.pth: the first digits of the SHA-256
_folder: str | None = None


def get_dir() -> str:
    """Where downloads are kept: what `set_dir` said, $TORCH_HOME/hub, or ~/.cache/torch/hub."""
    if _folder is not None:
        return _folder
    return os.path.join(_get_torch_home(), "hub")


def _get_torch_home() -> str:
    """$TORCH_HOME, or ~/.cache/torch."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return os.path.expanduser(home)


def set_dir(d: str | os.PathLike) -> None:
    """Keep downloads in folder `d`."""
    global _folder
    _folder = os.path.expanduser(d)


def _conf(folder: str, source: str) -> Any:
    if source != "local":
        raise NotImplementedError(
            f"torch.hub: source={source!r} would run code from the network. Clone the repository {folder!r} and "
            "give its folder with source='local'."
        )
    path = Path(folder) / "hubconf.py"
    if not path.is_file():
        raise FileNotFoundError(f"torch.hub: there is no hubconf.py in {folder}")
    spec = importlib.util.spec_from_file_location("hubconf", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def _entry(module: Any, model: str) -> Any:
    function = getattr(module, model, None)
    if not callable(function):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return function


def list(github: str, force_reload: bool = False, source: str = "github", **_: Any) -> "list[str]":
    """The names that a folder's hubconf.py offers (source="local")."""
    module = _conf(github, source)
    return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(github: str, model: str, force_reload: bool = False, source: str = "github", **_: Any) -> str | None:
    """What hubconf.py says of one of them."""
    return _entry(_conf(github, source), model).__doc__


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """What hubconf.py of the folder `repo_or_dir` makes under the name `model` (source="local").

    NotImplementedError for source="github": code from the network is not run.
    """
    for setting in ("trust_repo", "force_reload", "verbose", "skip_validation"):
        kwargs.pop(setting, None)
    return _entry(_conf(repo_or_dir, source), model)(*args, **kwargs)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Bring `url` to the file `dst`, which is there whole or not at all. RuntimeError if its SHA-256 does not fit."""
    dst = os.path.expanduser(dst)
    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(url) as answer,
        tempfile.NamedTemporaryFile(dir=os.path.dirname(dst) or ".", delete=False) as out,
    ):
        try:
            while piece := answer.read(1 << 20):
                out.write(piece)
                digest.update(piece)
            out.flush()
            if hash_prefix and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
            os.replace(out.name, dst)
        except BaseException:
            os.unlink(out.name)
            raise


def load_state_dict_from_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True, check_hash: bool = False,
    file_name: str | None = None, weights_only: bool = True,
) -> Any:  # fmt: skip
    """The checkpoint at `url`, downloaded once into `model_dir` (`get_dir()`/checkpoints unless given)."""
    from .serialization import load as load_file

    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return load_file(path, map_location=map_location, weights_only=weights_only)
