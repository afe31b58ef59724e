"""Choosing a backend, and the threads it uses; each case in a process of its own."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from disttorch.kernels import for_device, get_num_threads, set_num_threads

from .conftest import BACKENDS, normal

needs_onednn = pytest.mark.skipif(BACKENDS["onednn"] is None, reason="oneDNN is not installed")


def python(code, **environment):
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return run.stdout.strip(), run.stderr


CHOICE = "from disttorch.kernels import for_device; print(for_device('cpu').name, for_device('cpu').name)"


@needs_onednn
def test_onednn_is_chosen_and_loaded_late():
    loaded = "import disttorch, sys; print('libdnnl' in open('/proc/self/maps').read())"
    assert python(loaded)[0] == "False"
    assert python(CHOICE)[0] == "onednn onednn"


def test_portable_on_request():
    out, err = python(CHOICE, DISTTORCH_KERNELS="portable")
    assert out == "portable portable"
    assert err == ""


def test_one_warning_says_what_to_install():
    hide = "import disttorch.kernels.onednn.binding as l; l.SONAME = 'libabsent.so'; "
    out, err = python(hide + CHOICE)
    assert out == "portable portable"
    assert err.count("RuntimeWarning") == 1
    assert "libdnnl.so.3" in err


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="got 'tpu'"):
        for_device("tpu")
    with pytest.raises(subprocess.CalledProcessError) as error:
        python(CHOICE, DISTTORCH_KERNELS="fast")
    assert "DISTTORCH_KERNELS must be 'onednn' or 'portable', got 'fast'" in error.value.stderr


def test_number_of_threads():
    before = get_num_threads()
    try:
        set_num_threads(3)
        assert get_num_threads() == 3
        for wrong in (0, -1, 1.5, True, "2"):
            with pytest.raises(RuntimeError, match="positive integer"):
                set_num_threads(wrong)
        assert get_num_threads() == 3
    finally:
        set_num_threads(before)


def test_the_environment_sets_the_threads():
    code = "from disttorch.kernels import get_num_threads; print(get_num_threads())"
    assert python(code, OMP_NUM_THREADS="3")[0] == "3"
    assert python(code, OMP_NUM_THREADS="3,2")[0] == "3"
    assert int(python(code, OMP_NUM_THREADS="")[0]) >= 1


@needs_onednn
def test_openmp_follows_the_setting_in_every_thread():
    code = """
import ctypes, threading, numpy as np
from disttorch.kernels import for_device, set_num_threads
kernels = for_device("cpu")
x = np.zeros((300, 300), np.float32)
count = ctypes.CDLL("libgomp.so.1").omp_get_max_threads
def report():
    kernels.matmul(x, x)
    print(count())
for n in (3, 2):
    set_num_threads(n)
    report()
    thread = threading.Thread(target=report)
    thread.start()
    thread.join()
"""
    assert python(code, OMP_NUM_THREADS="1")[0].split() == ["3", "3", "2", "2"]


@needs_onednn
def test_a_forked_child_computes():
    """OpenMP's threads do not survive a fork; a child that waited for them would be killed by the alarm."""
    code = """
import os, signal, numpy as np
from disttorch.kernels import for_device, set_num_threads
set_num_threads(2)
kernels = for_device("cpu")
x = np.ones((300, 300), np.float32)
kernels.matmul(x, x)
pid = os.fork()
if not pid:
    signal.alarm(20)
    set_num_threads(2)
    os._exit(0 if kernels.matmul(x, x)[0, 0] == 300 else 1)
print(os.waitpid(pid, 0)[1])
"""
    assert python(code)[0] == "0"


def test_kernels_run_in_several_threads(kernels, rng):
    """Two threads, the same shapes at the same time: cached plans and temporaries must not be shared."""
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    w, scale = normal(rng, 8, 4, 3, 3), normal(rng, 8)
    inputs = [normal(rng, 2, 4, 9, 9) for _ in range(2)]

    def work(x):
        y = kernels.conv_forward(x, w, None, *geometry)
        normed, mean, var = kernels.batch_norm_forward(y, scale, scale, 1e-5)
        gx, gw, gb = kernels.conv_backward(normed, x, w, *geometry)
        return [normed, mean, var, gx, gw, gb, kernels.matmul(gx, gx)]

    expected = [work(x) for x in inputs]
    results = {}

    def repeat(rank):
        results[rank] = [work(inputs[rank]) for _ in range(30)]

    threads = [threading.Thread(target=repeat, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    for rank in range(2):
        assert len(results[rank]) == 30
        for got in results[rank]:
            for a, b in zip(got, expected[rank], strict=True):
                np.testing.assert_array_equal(a, b)


@needs_onednn
def test_plans_are_bounded(rng, monkeypatch):
    kernels = BACKENDS["onednn"]
    monkeypatch.setattr("disttorch.kernels.onednn.plan.CACHED_PLANS", 8)
    for n in range(1, 21):
        x = normal(rng, n, 700)
        np.testing.assert_allclose(kernels.softmax_forward(x, 1).sum(axis=1), 1, rtol=1e-5)
    assert len(kernels.engine._idle) <= 8


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_large_blocks_are_reused():
    """The pages of an array as large as one just freed are not asked of the system again."""
    code = """
import resource, numpy as np
from disttorch.kernels import for_device
for_device("cpu")
def faults():
    np.ones(1 << 24, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults()
before = faults()
print(faults() - before)
"""
    assert int(python(code)[0]) < 16  # its 64 MB are 16,384 pages, or 32 huge ones
