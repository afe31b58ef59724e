"""The two libraries that are compared, and processes to run them in."""

import argparse
import contextlib
import importlib.util
import multiprocessing
from collections.abc import Callable, Hashable, Iterator
from typing import Any


def library(name: str) -> Any:
    """The module `torch`: ours ("disttorch") or PyTorch ("torch")."""
    if name == "torch":
        import torch
    else:
        import disttorch as torch
    return torch


def has_pytorch() -> bool:
    return importlib.util.find_spec("torch") is not None


def need_pytorch(parser: argparse.ArgumentParser) -> None:
    """End here, with a line that says why, where PyTorch is not installed."""
    if not has_pytorch():
        parser.error("this measures beside PyTorch, which is not installed: pip install torch==2.13.0")


def installed() -> list[str]:
    """Names of the libraries that are there, ours first."""
    return ["disttorch", "torch"] if has_pytorch() else ["disttorch"]


@contextlib.contextmanager
def processes(serve: Callable, jobs: dict[Hashable, tuple]) -> Iterator[dict[Hashable, Any]]:
    """Pipes to fresh processes, one for each job, in which serve(*arguments, pipe) takes orders until it gets None."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = {}, []
    try:
        for name, arguments in jobs.items():
            pipes[name], theirs = context.Pipe()
            workers.append(context.Process(target=serve, args=(*arguments, theirs)))
            workers[-1].start()
            theirs.close()  # else nobody would learn here that a process has died
        yield pipes
    finally:
        for pipe in pipes.values():
            with contextlib.suppress(BrokenPipeError):
                pipe.send(None)
        for worker in workers:
            worker.join(20)
            worker.terminate()
