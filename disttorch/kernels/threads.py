"""One pool of threads: OpenMP's, which oneDNN uses.

NumPy's OpenBLAS has a pool of its own, and two pools that alternate wait for each other's spinning threads (a step of
4 ms took 20). While oneDNN carries the matrix products, OpenBLAS is held to one thread. A call too small to share is
done by one thread of OpenMP's too: on a busy machine each meeting of two threads can cost a turn of the scheduler.

How long an idle thread spins before it sleeps is left to libgomp (`GOMP_SPINCOUNT`). With fewer turns it sleeps between
two kernels of a step, and where a hypervisor shares its cores, waking one takes it up to milliseconds.
"""

import contextvars
import ctypes
import os
import threading
from collections import deque

from disttorch import cores
from disttorch.kernels.blas import openblas

# Multiplications that one thread does in some 50 us. Below, waking others costs more than they save.
SHARED = 1 << 22
PER_ELEMENT = 32  # multiplications that take as long as reading or writing an element


def get_num_threads():
    """The number of threads a CPU kernel may use."""
    return _setting.count


def set_num_threads(count):
    """Let CPU kernels use `count` threads, in every thread that calls them, from the next call on.

    A process forked after kernels ran (a DataLoader's worker) stays with one. Raises RuntimeError if count is not a
    positive int.
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {count!r}")
    _setting.count = count
    if not _setting.omp:
        _set_openblas(count)


def _initial_count():
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return cores.available()


class _Setting:
    count = _initial_count()
    omp = None  # omp_set_num_threads, once oneDNN is in use
    gomp = None  # its library
    forked = False  # whether this process was forked from one whose OpenMP threads it does not have


class _Thread(threading.local):
    count = 0  # what OpenMP was last told in this thread: its setting is each thread's own


_setting, _thread = _Setting(), _Thread()


def use_openmp():
    """Called when oneDNN takes over: OpenMP's pool follows the setting, OpenBLAS keeps to one thread."""
    _setting.gomp = ctypes.CDLL("libgomp.so.1")
    _setting.omp = _setting.gomp.omp_set_num_threads
    _set_openblas(1)


def threads_for(work):
    """How many threads are to share so many multiplications."""
    return 1 if work < SHARED or _setting.forked else _setting.count


def enter_thread(count):
    """Tell OpenMP how many threads the calling thread's next kernel has."""
    if _setting.forked:
        count = 1
    if _thread.count != count:
        _setting.omp(count)
        _thread.count = count


def in_each(function, pointer):
    """Call a C function of one pointer in the calling thread and each of its OpenMP threads."""
    if _setting.omp is None or _setting.forked:
        function(pointer)
    else:  # how a compiler has a parallel region run
        _setting.gomp.GOMP_parallel(function, pointer, _setting.count, 0)


def share(function, items):
    """Call `function(*item)` for every item, in as many threads as are set, and return when all calls have.

    The threads are started here, which takes some 100 us: OpenMP's cannot run Python. For calls that take some 50 us
    each in code that lets go of the interpreter's lock, such as NumPy's on large arrays. Which thread takes which item
    is not fixed, so no call may depend on another. The caller's context (NumPy's way with floating-point errors) holds
    in all threads. Without oneDNN one thread does all: OpenBLAS, whose threads then share its calls, lets one caller in
    at a time.
    """
    count = min(_setting.count, len(items)) if _setting.omp and not _setting.forked else 1
    todo, errors = deque(items), []

    def work():
        try:
            while True:
                try:
                    item = todo.popleft()
                except IndexError:
                    return
                function(*item)
        except BaseException as error:
            errors.append(error)
            todo.clear()

    others = [threading.Thread(target=contextvars.copy_context().run, args=(work,)) for _ in range(count - 1)]
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()
    if errors:
        raise errors[0]


def _after_fork():
    """A forked child would wait for ever for OpenMP's threads, which only its parent has: it computes on one."""
    _setting.forked = _setting.omp is not None


os.register_at_fork(after_in_child=_after_fork)


def _set_openblas(count):
    function = openblas("openblas_set_num_threads", ctypes.c_int)
    if function is not None:
        function(count)
