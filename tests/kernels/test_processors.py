"""The kernels on a processor without AVX-512, as which oneDNN and OpenBLAS are told to take this one."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}
FILES = ("attention", "normalization", "updating", "activation", "loss", "bfloat16")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="a matter of x86-64")
def test_without_avx512():
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", *(here / f"test_{name}.py" for name in FILES)],
        env=os.environ | AVX2,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
