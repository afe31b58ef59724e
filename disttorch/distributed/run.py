"""`python -m disttorch.distributed.run …` is `disttorch run …`, as torch.distributed.run is torchrun."""

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run the job that the arguments (default: the command line's) describe. Ends with SystemExit, as commands do."""
    from ..launcher.cli import main as command

    command(["run", *(sys.argv[1:] if args is None else args)])


if __name__ == "__main__":
    main()
