"""`python -m disttorch.distributed.launch …`: as `disttorch.distributed.run`, for scripts that take `--local-rank`.

As with torch.distributed.launch the script gets `--local-rank=N` as its first argument, unless `--use-env` is given:
it then reads LOCAL_RANK.
"""

import sys
from collections.abc import Sequence

from .run import command
from .run import main as run

USE_ENV = ("--use-env", "--use_env")


def main(args: Sequence[str] | None = None) -> None:
    """As `disttorch.distributed.run.main`."""
    run(translated(sys.argv[1:] if args is None else args))


def translated(arguments: Sequence[str]) -> list[str]:
    """The arguments of `disttorch.distributed.run` that mean the same."""
    words = list(arguments)
    script = script_place(words)
    options = words[:script]
    if script < len(words) and not any(word in USE_ENV for word in options):
        words.insert(script + 1, "--local-rank=${local_rank}")
    return [word for i, word in enumerate(words) if i >= script or word not in USE_ENV]


def script_place(words: Sequence[str]) -> int:
    """Where the script's name stands: the first word that is neither an option nor an option's value."""
    from ..launcher.cli import run as command

    flags = {name for option in command.params if getattr(option, "is_flag", False) for name in option.opts}
    i = 0
    while i < len(words) and words[i].startswith("-"):
        name = words[i].replace("_", "-")
        i += 1 if name in flags or name in USE_ENV or "=" in name or name in ("-h", "--help") else 2
    return i


if __name__ == "__main__":
    command(translated(sys.argv[1:]))
