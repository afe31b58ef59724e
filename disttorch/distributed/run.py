"""`python -m disttorch.distributed.run …` is `disttorch run …`, as torch.distributed.run is torchrun."""

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run the job that the arguments (default: the command line's) describe. SystemExit unless it succeeds."""
    from ..launcher.cli import main as command

    try:
        command(["run", *(sys.argv[1:] if args is None else args)])
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    main()
