"""Lines with ranks, whatever the chunks; and where each stream goes."""

import os
import random

import pytest
from disttorch.launcher.config import LaunchConfig, Std
from disttorch.launcher.console import Console
from disttorch.launcher.logs import LONGEST_LINE, LinePrefixer, Route, Routes, plan_routes


def through(text: bytes, sizes: list[int], overwrite: bool = False) -> bytes:
    prefixer = LinePrefixer(b"> ", overwrite)
    out = []
    for size in sizes:
        out.append(prefixer.feed(text[:size]))
        text = text[size:]
    return b"".join([*out, prefixer.feed(text), prefixer.flush()])


@pytest.mark.parametrize(
    ("text", "lines", "on_terminal"),
    [
        (b"", b"", b""),
        (b"a\n", b"> a\n", b"> a\n"),
        (b"a\n\nb\n", b"> a\n> \n> b\n", b"> a\n> \n> b\n"),
        (b"no end", b"> no end\n", b"> no end\n"),
        (b"windows\r\nlines\r\n", b"> windows\n> lines\n", b"> windows\n> lines\n"),
        (b"\r 10%\r 50%\r100%\nx", b">  10%\n>  50%\n> 100%\n> x\n", b"> 100%\n> x\n"),
        (b"50%\r", b"> 50%\n", b"> 50%\n"),
        (b"\xff\x00\x1b[31m\n", b"> \xff\x00\x1b[31m\n", b"> \xff\x00\x1b[31m\n"),
    ],
)
def test_lines_do_not_depend_on_the_chunks(text, lines, on_terminal):
    for sizes in ([], [1] * len(text), [3, 1, 2]):
        assert through(text, sizes) == lines
        assert through(text, sizes, overwrite=True) == on_terminal


def test_binary_junk_passes_unchanged_but_for_line_ends():
    junk = random.Random(1).randbytes(200_000).replace(b"\r", b"")
    assert through(junk, [4096] * 40) == b"".join(
        b"> " + line + b"\n" for line in junk.removesuffix(b"\n").split(b"\n")
    )


def test_an_endless_line_does_not_fill_the_memory():
    prefixer = LinePrefixer(b"> ")
    out = prefixer.feed(b"x" * LONGEST_LINE)
    assert out == b""
    assert prefixer.feed(b"yz") == b"> " + b"x" * LONGEST_LINE + b"yz\n"
    assert prefixer.flush() == b""


def test_what_a_terminal_shows_of_an_unfinished_line():
    prefixer = LinePrefixer(b"> ", overwrite=True)
    assert prefixer.feed(b"done\n\r 10%\r 20%") == b"> done\n"
    assert prefixer.visible_rest() == b" 20%"


P, F, T, I, D = Route.PIPE, Route.FILE, Route.TEE, Route.INHERIT, Route.DISCARD  # noqa: E741


@pytest.mark.parametrize(
    ("fields", "local_rank", "same", "expected"),
    [
        ({"nproc_per_node": 1}, 0, True, Routes(I, I, False)),
        ({"nproc_per_node": 1, "nnodes": 2}, 0, True, Routes(P, P, True)),
        ({"nproc_per_node": 2}, 1, True, Routes(P, P, True)),
        ({"nproc_per_node": 2}, 1, False, Routes(P, P, False)),
        ({"nproc_per_node": 2, "redirects": {1: Std.OUT}}, 1, True, Routes(F, P, False)),
        ({"nproc_per_node": 2, "redirects": {1: Std.OUT}}, 0, True, Routes(P, P, True)),
        ({"nproc_per_node": 1, "redirects": {0: Std.ERR}}, 0, True, Routes(I, F, False)),
        ({"nproc_per_node": 2, "tee": {0: Std.ALL}}, 0, True, Routes(T, T, False)),
        ({"nproc_per_node": 2, "tee": {0: Std.OUT}, "redirects": {0: Std.ALL}}, 0, True, Routes(T, F, False)),
        ({"nproc_per_node": 2, "shown": frozenset({1})}, 0, True, Routes(D, D, False)),
        ({"nproc_per_node": 2, "shown": frozenset({1}), "tee": {0: Std.ALL}}, 0, True, Routes(F, F, False)),
    ],
)
def test_routes(fields, local_rank, same, expected):
    assert plan_routes(LaunchConfig("x.py", **fields), local_rank, same) == expected


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def test_a_console_never_waits_for_its_reader(pipe):
    read, write = pipe
    console = Console(write)
    lines = b"".join(b"%07d\n" % i for i in range(300_000))  # 2.4 MB, far more than a pipe holds
    console.write(lines)
    assert console.pending
    assert console.congested
    got = b""
    while console.pending:
        got += os.read(read, 1 << 20)
        console.pump()
    assert got + os.read(read, 1 << 20) == lines


def test_a_console_gives_up_on_a_reader_after_its_limit(pipe):
    console = Console(pipe[1])
    console.write(b"x" * 1_000_000)
    console.drain(0.05)
    assert console.pending


def test_a_console_notices_that_its_reader_has_gone():
    read, write = os.pipe()
    os.close(read)
    console = Console(write)
    console.write(b"x\n")
    assert console.closed
    assert not console.pending
    os.close(write)
