"""`python -m disttorch.distributed.run …` is `disttorch run …`, as torch.distributed.run is torchrun."""

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run the job that the arguments (default: the command line's) describe, and return once it has succeeded.

    Raises ValueError for arguments that cannot be launched, SystemExit with the exit status of a job that failed.
    """
    from ..launcher.cli import status_of

    if status := status_of(["run", *(sys.argv[1:] if args is None else args)]):
        sys.exit(status)


def command(arguments: Sequence[str]) -> None:
    """`main` as a command: every end is a SystemExit, wrong input one line on stderr."""
    from ..launcher.cli import main as launch

    launch(["run", *arguments])


if __name__ == "__main__":
    command(sys.argv[1:])
