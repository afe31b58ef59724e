"""Memory that several ranks see: anonymous segments, waiting for a word in one to change, reading another process's.

A segment is a memfd: it has no name, so nothing is left when its processes end, however they end. Another process of
the same user opens it through /proc/<pid>/fd/<fd>, which no other user may.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import sys

import numpy as np

from disttorch.kernels.blas import address as address_of_array

from . import clock

PAGE = 4096  # bytes
HUGE = 2 << 20  # bytes of a huge page
_COLLAPSE = 25  # MADV_COLLAPSE of <linux/mman.h>, Linux 6.1; Python has no name for it
_FIXED = 0x10  # MAP_FIXED of <sys/mman.h>, nor for this
_FUTEX_NUMBER = {"x86_64": 202, "aarch64": 98}.get(platform.machine()) if sys.platform == "linux" else None
_FUTEX_WAIT, _FUTEX_WAKE = 0, 1
_SET_PTRACER = 0x59616D61  # PR_SET_PTRACER of <linux/prctl.h>
_POLL = 0.0002  # seconds between two looks where there is no futex


class Segment:
    """`size` bytes of zeroed memory. `bytes` is a uint8 array over all of it."""

    def __init__(self, size: int, fd: int | None = None):
        """New memory, shared if `fd` is an open descriptor of a memfd of that size, else private to this process."""
        self.size, self.fd = size, fd
        self._map, self._start = _mapped(size, fd)
        if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self.bytes = np.frombuffer(self._map, np.uint8, size, self._start)
        self.address = address_of_array(self.bytes)

    @classmethod
    def create(cls, size: int) -> Segment:
        """A new segment that other processes of this user can open."""
        size = -(-max(size, 1) // PAGE) * PAGE
        fd = os.memfd_create("disttorch", os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
        return cls(size, fd)

    @classmethod
    def attach(cls, pid: int, fd: int, size: int) -> Segment:
        """The segment that process `pid` created. Raises OSError if that process is gone or another user's."""
        mine = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(mine).st_size != size:
                raise OSError(f"segment {fd} of process {pid} has {os.fstat(mine).st_size} bytes, wanted {size}")
            segment = cls(size, mine)
            segment.fd = None
            return segment
        finally:
            os.close(mine)

    def join_pages(self) -> None:
        """Let new memory lie in huge pages, where the kernel has them: it takes that memory now.

        They are read and written faster by a tenth. By itself the kernel joins no pages of a memfd, unless told to by
        /sys/kernel/mm/transparent_hugepage/shmem_enabled.
        """
        self.bytes[::HUGE] = 0  # pages that do not exist yet are joined only to one that does
        with contextlib.suppress(OSError):  # EINVAL before Linux 6.1; no huge page is free
            self._map.madvise(_COLLAPSE, self._start, self.size)

    def release(self) -> None:
        """Close the descriptor, once everyone who shall has attached; the memory stays."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def close(self) -> None:
        """Let go of the memory; arrays still in it keep it mapped until they are gone. Idempotent."""
        self.release()
        self.bytes = np.empty(0, np.uint8)


def _mapped(size: int, fd: int | None) -> tuple[mmap.mmap, int]:
    """`size` bytes, of the memfd `fd` or private ones: a map, and where in it they begin.

    Shared memory lies in huge pages only where its addresses begin with one, which mmap does not see to: hence room for
    it, that is let go of with what has been mapped over it.
    """
    if fd is None or size < HUGE:
        return mmap.mmap(-1 if fd is None else fd, size), 0
    room = mmap.mmap(-1, size + HUGE)
    address = address_of_array(np.frombuffer(room, np.uint8))
    start = -address % HUGE
    access = mmap.PROT_READ | mmap.PROT_WRITE
    if _map_at(address + start, size, access, mmap.MAP_SHARED | _FIXED, fd, 0) != address + start:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return room, start


def _make_map_at():
    call = ctypes.CDLL(None, use_errno=True).mmap
    number = ctypes.c_int
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, number, number, number, ctypes.c_long)
    call.restype = ctypes.c_void_p
    return call


_map_at = _make_map_at()


def available() -> bool:
    """True if this platform has segments that processes can share."""
    return hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")


def _make_futex():
    libc = ctypes.CDLL(None, use_errno=False)
    call = libc.syscall
    call.restype = ctypes.c_long

    class Timespec(ctypes.Structure):
        _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

    number, wait, wake = ctypes.c_long(_FUTEX_NUMBER), ctypes.c_long(_FUTEX_WAIT), ctypes.c_long(_FUTEX_WAKE)
    everyone, address_of, seconds_of = ctypes.c_long(0x7FFFFFFF), ctypes.c_void_p, divmod

    def wait_change(address: int, value: int, seconds: float) -> None:
        whole, part = seconds_of(seconds, 1.0)
        limit = Timespec(int(whole), int(part * 1e9))
        call(number, address_of(address), wait, ctypes.c_long(value & 0xFFFFFFFF), ctypes.byref(limit), None, None)

    def wake_all(address: int) -> None:
        call(number, address_of(address), wake, everyone, None, None, None)

    return wait_change, wake_all


def _poll_change(address: int, value: int, seconds: float) -> None:
    clock.sleep(min(seconds, _POLL))


def _no_wake(address: int) -> None:
    pass


# wait_change(address, value, seconds): return when the 32-bit word at `address` is no longer `value`, or is written and
# woken, or time is up, or for no reason: look again. wake_all(address): wake who waits for it. See futex(2).
wait_change, wake_all = _make_futex() if _FUTEX_NUMBER else (_poll_change, _no_wake)


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _make_mover(name: str):
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is not None:  # Linux
        number, pointer = ctypes.c_ulong, ctypes.POINTER(_Span)
        call.argtypes, call.restype = (ctypes.c_int, pointer, number, pointer, number, number), ctypes.c_ssize_t
    return call


_read, _write = _make_mover("process_vm_readv"), _make_mover("process_vm_writev")


def admit_siblings() -> None:
    """Let this process's parent, and all that descend from it, read and write this one's memory as far as its user may.

    Yama, which Ubuntu has on (/proc/sys/kernel/yama/ptrace_scope is 1), lets only ancestors do so, but for those that a
    process names; elsewhere nothing changes. Ranks are mostly children of one launcher, script or shell.
    """
    control = getattr(ctypes.CDLL(None), "prctl", None)
    if control is not None:  # Linux
        control(_SET_PTRACER, ctypes.c_ulong(os.getppid()), ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_ulong())


def can_read(pid: int) -> bool:
    """True if this process may read and write the memory of process `pid` with `read_from` and `write_to`."""
    if _read is None:
        return False
    nowhere = _Span(ctypes.addressof(ctypes.c_char()), 1), _Span(None, 1)
    return _read(pid, nowhere[0], 1, nowhere[1], 1, 0) >= 0 or ctypes.get_errno() == errno.EFAULT


def read_from(pid: int, address: int, out: np.ndarray) -> None:
    """Fill the contiguous array `out` from `address` in process `pid`, one copy; see process_vm_readv(2).

    Raises OSError if that process or its memory is gone, or may not be read.
    """
    _move(_read, pid, address, out)


def write_to(pid: int, address: int, array: np.ndarray) -> None:
    """Copy the contiguous `array` to `address` in process `pid`; otherwise like `read_from`."""
    _move(_write, pid, address, array)


def _move(call, pid: int, address: int, array: np.ndarray) -> None:
    here, done = address_of_array(array), 0
    while done < array.nbytes:
        left = array.nbytes - done
        count = call(pid, _Span(here + done, left), 1, _Span(address + done, left), 1, 0)
        if count <= 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        done += count
