"""What a worker process runs before the user's program, in that program's place as `__main__`.

Usage: bootstrap.py LAUNCHER_PID (script | module | program) TARGET [ARGUMENTS...]

It ties the worker's life to the launcher's, then runs the target as `python TARGET` or `python -m TARGET` would (same
sys.argv, sys.path, __main__, exit code and traceback), and writes an uncaught exception to TORCHELASTIC_ERROR_FILE.
The launcher runs it by path and it needs the standard library only, so that a worker starts as fast as Python does.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
INSPECT_SIGNAL = signal.SIGRTMIN + 6 if sys.platform == "linux" else 0  # not SIGUSR1: programs have uses for that


def main() -> None:
    launcher, kind, target, *arguments = sys.argv[1:]
    die_with_launcher(int(launcher))
    if kind == "program":
        run_program(target, arguments)
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's folder
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # as on a terminal: lines come when written
    enable_fault_handler()
    enable_inspection()
    sys.argv = [target, *arguments]
    try:
        if os.environ.get("DISTTORCH_AS_TORCH") == "1":
            __import__("importlib").import_module("disttorch.alias").install()
        if "DISTTORCH_TRACE" in os.environ:
            __import__("importlib").import_module("disttorch.distributed.tracing").trace_from_environment()
        run_module(target) if kind == "module" else run_script(target)
    except SystemExit as ending:
        if ending.code:
            record(ending, traceback="")
        raise
    except KeyboardInterrupt as interrupt:
        record(interrupt)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # end as Python does, but quietly: every rank would print the same
        flush()
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException as error:
        error.with_traceback(without_bootstrap(error))
        record(error)
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    else:
        return
    sys.exit(status)


def die_with_launcher(launcher: int) -> None:
    """Have the kernel kill this process when the launcher is gone, however that ends."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != launcher:  # it was gone before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)


def run_program(program: str, arguments: list[str]) -> None:
    """Become the program."""
    try:
        os.execvp(program, [program, *arguments])
    except OSError as error:
        record(error, traceback="")
        sys.exit(f"cannot run {program}: {error.strerror}")


def run_module(name: str) -> None:
    """As `python -m NAME`."""
    import runpy

    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def run_script(path: str) -> None:
    """As `python PATH`: in a `__main__` that stays until the interpreter's end, for threads and exit handlers."""
    if os.path.isdir(path) or path.endswith((".pyc", ".zip", ".pyz")):
        import runpy

        runpy.run_path(path, run_name="__main__")
        return
    from importlib.machinery import SourceFileLoader
    from types import ModuleType

    absolute = os.path.abspath(path)
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    with open(absolute, "rb") as file:
        code = compile(file.read(), absolute, "exec", dont_inherit=True)
    module = ModuleType("__main__")
    module.__dict__.update(
        __file__=absolute, __cached__=None, __builtins__=__builtins__, __loader__=SourceFileLoader("__main__", absolute)
    )
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def without_bootstrap(error: BaseException):  # type: ignore[no-untyped-def]
    """The exception's traceback from the user's first line on."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    return trace


def enable_fault_handler() -> None:
    """Leave the Python stack of a crash in native code beside the error file."""
    import faulthandler

    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        faulthandler.enable(os.open(f"{path}.stack", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))


def enable_inspection() -> None:
    """On a signal, write the stacks of all threads and the pending collectives beside the error file."""
    import faulthandler

    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path or not INSPECT_SIGNAL:
        return

    def write_pending(_number: int, _frame: object) -> None:
        import json

        group = sys.modules.get("disttorch.comm.group")
        try:
            with open(f"{path}.pending.part", "w") as file:
                json.dump(group.report() if group else [], file)
            os.replace(f"{path}.pending.part", f"{path}.pending")
        except OSError:
            return  # a full disk must not end the program; the stacks are there

    signal.signal(INSPECT_SIGNAL, write_pending)
    file = os.open(f"{path}.inspect", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    faulthandler.register(INSPECT_SIGNAL, file, all_threads=True, chain=True)


def record(error: BaseException, path: str | None = None, traceback: str | None = None) -> None:
    """Write the exception to the error file, whole or not at all, in torchrun's form with some fields more.

    `path`: in place of TORCHELASTIC_ERROR_FILE. `traceback`: in place of the exception's own.
    """
    path = path or os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return
    import json
    import time
    from traceback import format_exception

    if traceback is None:
        traceback = "".join(format_exception(error.with_traceback(without_bootstrap(error))))
    now = time.time()
    entry = {
        "message": {
            "message": f"{type(error).__name__}: {text_of(error)}",
            "extraInfo": {"py_callstack": traceback, "timestamp": str(int(now))},
        },
        "rank": int(os.environ.get("RANK", "0")),
        "pid": os.getpid(),
        "timestamp": now,
        "exit_code": error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1,
        "consequence": blames_another(error),
    }
    with open(f"{path}.part", "w", errors="backslashreplace") as file:
        json.dump(entry, file)
    os.replace(f"{path}.part", path)


def text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception's own text may fail; the first failure is what matters
        return "<its text cannot be had>"


def blames_another(error: BaseException | None) -> bool:
    """Whether the exception, or one that it came from, only says that another rank is gone."""
    seen: set[int] = set()
    while error and id(error) not in seen:
        seen.add(id(error))
        for kind in type(error).__mro__:
            if kind.__module__ == "disttorch.comm.errors" and kind.__name__ in ("PeerLost", "GroupClosed"):
                return True
        error = error.__cause__ or error.__context__
    return False


def flush() -> None:
    """Send out what the program printed, as far as somebody reads it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # closed, by the program or by its reader


if __name__ == "__main__":
    main()
