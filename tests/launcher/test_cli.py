"""The command line: wrong input is one line and status 2; help; torchrun's spellings and variables."""

import re
import socket
import subprocess
import sys

import pytest

from launching import environment, launch, write

SHOW = 'import os, sys; print(os.environ["RANK"], os.environ["WORLD_SIZE"], *sys.argv[1:])'


@pytest.fixture
def script(tmp_path):
    return write(tmp_path, SHOW, "train.py")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["missing.py"], "no such script: missing.py"),
        (["trian.py"], "no such script: trian.py (did you mean train.py?)"),
        (["folder"], "folder is a folder without a __main__.py"),
        (["-m", "no_such_module_anywhere"], "no such module: no_such_module_anywhere"),
        (["--no-python", "no-such-program"], "no such program: no-such-program"),
        (["--no-python", "train.py"], "no such program: train.py (did you mean ./train.py?)"),
        (["--no-python", "./train.py"], "the program ./train.py is not executable (chmod +x makes it so)"),
        (
            ["--nproc-per-node", "0", "train.py"],
            "--nproc-per-node must be a number from 1, or auto, cpu or gpu, got '0'",
        ),
        (
            ["--nproc-per-node", "gpu", "train.py"],
            "--nproc-per-node gpu: no CUDA device is visible (see CUDA_VISIBLE_DEVICES)",
        ),
        (["--master-port", "70000", "train.py"], "--master-port must be a port from 0 to 65535, got 70000"),
        (["--master-addr", "no.such.host.invalid", "train.py"], "--master-addr no.such.host.invalid cannot be found"),
        (["--nnodes", "2", "--master-addr", "192.0.2.1", "train.py"], "several machines need one secret"),
        (["--log-dir", "train.py", "train.py"], "--log-dir train.py cannot be used"),
        ([], "Missing argument 'SCRIPT'. Try 'disttorch run --help' for help."),
    ],
)
def test_wrong_input_is_one_line_and_status_2(tmp_path, script, args, line):
    (tmp_path / "folder").mkdir()
    done = launch(*args, cwd=tmp_path)
    assert done.stderr.startswith(f"disttorch: {line}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert done.returncode == 2


def test_an_unknown_option_is_named(script):
    done = launch("--nproc-per-nod", "2", script)
    expected = r"disttorch: No such option.*--nproc-per-nod\b.*--nproc-per-node\b.*\n"  # click's words, which change
    assert re.fullmatch(expected, done.stderr), done.stderr
    assert (done.stdout, done.returncode) == ("", 2)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"CUDA_VISIBLE_DEVICES": "99"}, "CUDA_VISIBLE_DEVICES=99: there is no device '99'"),
        (
            {"CUDA_VISIBLE_DEVICES": "0,4", "DISTTORCH_SIM_DEVICES": "4"},
            "CUDA_VISIBLE_DEVICES=0,4: there is no device '4'",
        ),
        ({"DISTTORCH_JOB_SECRET": "short"}, "DISTTORCH_JOB_SECRET must hold at least 16 bytes, got 5"),
    ],
)
def test_wrong_environment_is_one_line_and_status_2(script, changes, line):
    done = launch(script, **changes)
    assert done.stderr.startswith(f"disttorch: {line}"), done.stderr
    assert (done.stderr.count("\n"), done.returncode) == (1, 2)


def test_a_port_in_use_is_named(script):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = launch("--master-port", port, script)
    assert done.stderr.startswith(f"disttorch: --master-port {port} on 127.0.0.1 cannot be had: Address already in use")
    assert (done.stderr.count("\n"), done.returncode) == (1, 2)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_both_spellings_and_the_scripts_own_options(script):
    expected = ["[rank0]: 0 2 --nproc-per-node 5 -h", "[rank1]: 1 2 --nproc-per-node 5 -h"]
    for option in ("--nproc-per-node=2", "--nproc_per_node=2"):
        assert lines(launch(option, "--standalone", script, "--nproc-per-node", "5", "-h")) == expected


def test_options_from_the_environment(script):
    assert lines(launch(script, PET_NPROC_PER_NODE="2")) == ["[rank0]: 0 2", "[rank1]: 1 2"]


def test_one_worker_a_visible_device(script):
    assert lines(launch(script, DISTTORCH_SIM_DEVICES="2")) == ["[rank0]: 0 2", "[rank1]: 1 2"]
    assert lines(launch(script, DISTTORCH_SIM_DEVICES="4", CUDA_VISIBLE_DEVICES="3")) == ["0 1"]
    assert lines(launch(script, DISTTORCH_SIM_DEVICES="4", CUDA_VISIBLE_DEVICES="")) == ["0 1"]


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--help"], ["Usage: disttorch [OPTIONS] COMMAND", "run      Run a training script on several workers."]),
        (
            ["run", "--help"],
            ["Usage: disttorch run [OPTIONS] SCRIPT [ARGS]...", "Workers:", "Nodes:", "Failures:", "Output:"],
        ),
        (["--version"], ["disttorch 0."]),
    ],
)
def test_help_and_version(args, parts):
    command = [sys.executable, "-c", "from disttorch.launcher.cli import main; main()", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment(COLUMNS="80"))
    assert done.returncode == 0, done.stderr
    for part in parts:
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_command_line_loads_no_network_library():
    code = "import sys, disttorch.launcher.cli; print([name for name in ('zmq', 'msgpack') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr
