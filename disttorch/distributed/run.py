"""`python -m disttorch.distributed.run …` is `disttorch run …`, as torch.distributed.run is torchrun."""

import sys
from argparse import REMAINDER, ArgumentParser, Namespace
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


def get_args_parser() -> ArgumentParser:
    """The options of `disttorch run` as an argparse parser, for programs with options of their own to add to them."""
    parser = ArgumentParser(description="PyTorch's launcher", allow_abbrev=False)
    for option in _options():
        names = [name for given in option.opts for name in (given, "--" + given[2:].replace("-", "_"))]
        names = [name for name in dict.fromkeys(names) if len(name) > 2] + [n for n in option.opts if len(n) == 2]
        action = {"action": "store_true"} if option.is_flag else {"metavar": option.metavar}
        parser.add_argument(*names, dest=option.name, help=(option.help or "").replace("%", "%%"), **action)
    parser.add_argument("training_script")
    parser.add_argument("training_script_args", nargs=REMAINDER)
    return parser


def parse_args(args: Sequence[str] | None) -> Namespace:
    """What the arguments (None: the command line's) say, for `run`."""
    return get_args_parser().parse_args(args)


def run(args: Namespace) -> None:
    """`main` for arguments that `get_args_parser` has parsed; those that are None, empty or missing are not given."""
    words = []
    for option in _options():
        value = getattr(args, option.name, None)
        if value is None or value is False or value == "":
            continue
        words += [option.opts[-1]] if option.is_flag else [option.opts[-1], str(value)]
    main([*words, args.training_script, *map(str, args.training_script_args)])


def _options() -> list:
    from ..launcher.cli import run as disttorch_run

    return [parameter for parameter in disttorch_run.params if parameter.param_type_name == "option"]


if __name__ == "__main__":
    command(sys.argv[1:])
