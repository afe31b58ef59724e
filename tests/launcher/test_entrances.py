"""PyTorch's other names for the launcher, and its decorator for a worker's main function."""

import subprocess
import sys

import pytest

from disttorch.distributed import run
from disttorch.distributed.elastic.multiprocessing.errors import record
from disttorch.distributed.launch import script_place
from launching import LIMIT, environment, launch, write

SHOW = 'import os, sys; print(os.environ["LOCAL_RANK"], *sys.argv[1:])'


def start(module, *args):
    command = [sys.executable, "-m", module, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment())


def test_distributed_run(tmp_path):
    done = start("disttorch.distributed.run", "--nproc_per_node=2", write(tmp_path, SHOW), "--use-env")
    assert sorted(done.stdout.splitlines()) == ["[rank0]: 0 --use-env", "[rank1]: 1 --use-env"], done.stderr
    assert start("disttorch.distributed.run", "missing.py").returncode == 2


def test_distributed_run_goes_on_after_a_job_that_succeeded(tmp_path):
    script = write(tmp_path, "import sys; sys.exit(int(sys.argv[1]))")
    assert run.main([script, "0"]) is None
    with pytest.raises(SystemExit) as end:
        run.main([script, "3"])
    assert end.value.code == 3
    with pytest.raises(ValueError, match="no such script: missing"):
        run.main(["missing.py"])


def test_distributed_run_for_programs_with_options_of_their_own(tmp_path):
    parser = run.get_args_parser()
    parser.add_argument("--lr", type=float)
    script = write(tmp_path, "import os, sys; open(sys.argv[1] + os.environ['RANK'] + os.environ['ROLE_NAME'], 'w')")
    args = parser.parse_args(["--lr", "2", "--nproc_per_node", "2", "-t", "0", script, f"{tmp_path}/rank", "--lr", "3"])
    assert (args.lr, args.nproc_per_node, args.standalone, args.rdzv_id) == (2.0, "2", False, None)
    args.role = "trainer"
    args.max_restarts = 0
    run.run(args)
    assert sorted(path.name for path in tmp_path.glob("rank*")) == ["rank0trainer", "rank1trainer"]
    assert run.parse_args(["-m", "package.module", "-x"]).training_script_args == ["-x"]


def test_distributed_launch_passes_the_local_rank(tmp_path):
    script = write(tmp_path, SHOW)
    done = start("disttorch.distributed.launch", "--nproc_per_node", 2, script, "--lr", 3)
    expected = ["[rank0]: 0 --local-rank=0 --lr 3", "[rank1]: 1 --local-rank=1 --lr 3"]
    assert sorted(done.stdout.splitlines()) == expected, done.stderr
    done = start("disttorch.distributed.launch", "--use_env", script, "--use-env")
    assert done.stdout == "0 --use-env\n", done.stderr


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["a.py", "--x"], 0),
        (["--nnodes", "1", "a.py"], 2),
        (["--nnodes=1", "--standalone", "--as_torch", "a.py"], 3),
        (["-m", "package", "-m"], 1),
        (["-r", "3", "--use-env", "a.py"], 3),
        ([], 0),
    ],
)
def test_where_the_script_stands(words, place):
    assert script_place(words) == place


def test_record_tells_what_the_script_hides(tmp_path):
    script = write(
        tmp_path,
        """
import sys
from disttorch.distributed import run
from disttorch.distributed.elastic.multiprocessing.errors import record
@record
def main(): raise KeyError("a secret of the script")
try: main()
except KeyError: sys.stdout.flush(); __import__("os")._exit(3)
""",
    )
    done = launch("--nproc-per-node", 2, script)
    assert done.returncode == 3
    assert "KeyError: 'a secret of the script'" in done.stderr


def test_record_without_a_launcher(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)

    @record
    def divide(x, y=1):
        """x / y"""
        return x / y

    assert divide(6, y=2) == 3
    assert divide.__doc__ == "x / y"
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
