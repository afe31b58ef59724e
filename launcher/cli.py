"""The command `disttorch`: torchrun's options for `disttorch run`, help that can be read, errors of one line."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from disttorch import cores

from .config import Machine, config_from_args
from .devices import visible_devices
from .errors import LaunchError
from .target import aliased

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
EXAMPLES = """
\b
Examples:
  disttorch run train.py --epochs 3            one worker per visible device
  disttorch run --nproc-per-node 2 train.py    two workers
  disttorch run --as-torch train.py            the script says `import torch`
  DISTTORCH_SIM_DEVICES=4 disttorch run train.py
                                               four simulated CUDA devices
  disttorch run --nnodes 2 --node-rank 0 --master-addr host0 train.py
                                               on the first of two machines
"""


class Option(click.Option):
    """An option under one of the help text's headings."""

    def __init__(self, *args: Any, section: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class RunCommand(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "section", "Other"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=32)


def option(section: str, *names: str, **attributes: Any) -> Any:
    return click.option(*names, cls=Option, section=section, **attributes)


def show_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # here: slow, and asked for rarely

        click.echo(f"disttorch {version('disttorch')}")
        ctx.exit()


@click.group(context_settings=HELP)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show the version."
)
def disttorch() -> None:
    """PyTorch's API and torchrun's command line on a small NumPy/CuPy code base.

    `disttorch run --nproc-per-node 2 train.py` runs a training script on two workers.
    """


@disttorch.command(
    cls=RunCommand,
    epilog=EXAMPLES,
    short_help="Run a training script on several workers.",
    context_settings={
        **HELP,
        "allow_interspersed_args": False,  # what follows the script is the script's
        "token_normalize_func": lambda name: name.replace("_", "-"),  # --nproc_per_node is --nproc-per-node
        "auto_envvar_prefix": "PET",  # PET_NPROC_PER_NODE=2, as torchrun
    },
)
@option(
    "Workers",
    "--nproc-per-node",
    metavar="N",
    help="Workers on this node: a number, gpu (one a device), cpu (one a core) or auto (gpu, else cpu). "
    "Default: one a device, or one.",
)
@option("Workers", "-m", "--module", is_flag=True, help="SCRIPT is a module's name, as with python -m.")
@option("Workers", "--no-python", is_flag=True, help="SCRIPT is a program, to be run without Python.")
@option(
    "Workers",
    "--run-path",
    is_flag=True,
    help="SCRIPT is a path, to be run in the worker's interpreter (it always is).",
)
@option("Workers", "--as-torch", is_flag=True, help="Answer the script's `import torch` with disttorch.")
@option("Workers", "--role", metavar="NAME", help="The workers' ROLE_NAME. Default: default.")
@option(
    "Workers",
    "--start-method",
    type=click.Choice(["spawn", "fork", "forkserver"]),
    metavar="METHOD",
    help="Accepted for torchrun's sake: workers are always new processes.",
)
@option("Nodes", "--nnodes", metavar="N", help="Machines that take part. Default: 1.")
@option(
    "Nodes",
    "--node-rank",
    type=int,
    metavar="RANK",
    help="This machine's number, from 0. Default: 0; with --rdzv-backend c10d by order of arrival.",
)
@option("Nodes", "--master-addr", metavar="HOST", help="The address of node 0. Default: 127.0.0.1.")
@option(
    "Nodes",
    "--master-port",
    type=int,
    metavar="PORT",
    help="The port of node 0. Default: 29500; a free one if there is one node.",
)
@option("Nodes", "--local-addr", metavar="HOST", help="This machine's own address, where its host name will not do.")
@option("Nodes", "--standalone", is_flag=True, help="One node, at a free port, whatever the other options here say.")
@option(
    "Nodes",
    "--rdzv-backend",
    metavar="NAME",
    help="static (nodes are numbered by --node-rank) or c10d (by order of arrival). Default: static.",
)
@option("Nodes", "--rdzv-endpoint", metavar="HOST:PORT", help="The same as --master-addr and --master-port.")
@option(
    "Nodes",
    "--rdzv-conf",
    metavar="KEY=VALUE,…",
    help="join_timeout=SECONDS: how far apart nodes may start. Default: 300. torchrun's other keys have no effect.",
)
@option("Nodes", "--rdzv-id", metavar="NAME", help="The job's name, TORCHELASTIC_RUN_ID. Default: none.")
@option(
    "Failures",
    "--max-restarts",
    type=int,
    metavar="N",
    help="Start all workers again after a failure, up to N times. Default: 0.",
)
@option(
    "Failures",
    "--monitor-interval",
    type=float,
    metavar="SECONDS",
    help="Time between two looks at the other nodes. Default: 0.1. (A worker's end is seen at once.)",
)
@option(
    "Failures",
    "--shutdown-timeout",
    type=float,
    metavar="SECONDS",
    help="Time between asking a worker to end and killing it. Default: 3.",
)
@option(
    "Output",
    "--log-dir",
    metavar="DIR",
    help="Folder for log files; each job makes a folder of its own in it. Default: the temporary folder.",
)
@option(
    "Output",
    "-r",
    "--redirects",
    metavar="STREAMS",
    help="Streams that go to log files only: 1 (stdout), 2 (stderr), 3 (both), or by local rank: 0:3,1:2.",
)
@option(
    "Output",
    "-t",
    "--tee",
    metavar="STREAMS",
    help="Streams that go to log files and to the console, chosen as for --redirects.",
)
@option(
    "Output",
    "--local-ranks-filter",
    metavar="RANKS",
    help="Local ranks whose output the console shows, such as 0,2. Default: all.",
)
@option(
    "Output",
    "--trace",
    metavar="FILE",
    help="Write one timeline of all ranks in the Chrome trace event format, for ui.perfetto.dev or chrome://tracing.",
)
@click.argument("training_script", metavar="SCRIPT")
@click.argument("training_script_args", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def run(**options: Any) -> int:
    """Run SCRIPT with its ARGS on several workers, each with torchrun's environment variables.

    Workers' lines bear their rank. The first worker that fails stops the others, and what it died of is shown last. The
    exit status is that worker's (128 + n if signal n ended it), or 2 where the command line was wrong.
    """
    from .agent import launch  # here: a wrong command line and --help need no network

    machine = Machine(devices=len(visible_devices(os.environ)), cores=cores.available())
    options["as_torch"] = options["as_torch"] or aliased()
    return launch(config_from_args(options, machine))


@disttorch.command(short_help="Show what the ranks of a running job are doing.", context_settings=HELP)
@click.argument("launcher", metavar="[PID]", type=int, required=False)
def inspect(launcher: int | None) -> None:
    """Print the Python stack of every rank of a running job and the collective that it is in.

    PID is the process number of a `disttorch run` on this machine; without it all jobs of this user are shown. SIGUSR1
    to the launcher prints the same among the job's own output.
    """
    from .inspection import inspect as text_of

    click.echo(text_of(launcher), nl=False)


_HELP_SHOWN = getattr(click.exceptions, "NoArgsIsHelpError", ())  # click before 8.2 shows it by itself


def status_of(arguments: Sequence[str]) -> int:
    """Run a command; its exit status (2 for wrong options, which are told on stderr). Raises LaunchError."""
    try:
        return disttorch.main(list(arguments), prog_name="disttorch", standalone_mode=False)
    except _HELP_SHOWN as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" Try '{context.command_path} --help' for help." if context else ""
        click.echo(f"disttorch: {error.format_message()}{hint}", err=True)
        return error.exit_code


def main(args: Sequence[str] | None = None) -> None:
    """The console script. Exits with the job's status; wrong input is one line on stderr and status 2."""
    try:
        status = status_of(sys.argv[1:] if args is None else args)
    except LaunchError as error:
        status = error.exit_status
        click.echo(f"disttorch: {error}", err=True)
    sys.exit(status)
