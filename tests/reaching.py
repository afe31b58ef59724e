"""Whether processes may read one another's memory here: an emulator, a container or Yama may forbid that.

There, arrays that are not in shared memory are staged, and messages go over loopback.
"""

import os

import pytest
from disttorch.comm.memory import can_read


def siblings_can_read() -> bool:
    """Whether one child of this process may read another's memory."""
    held, release = os.pipe()
    read = os.fork()
    if not read:
        os.close(release)
        os.read(held, 1)  # until the parent's end is closed
        os._exit(0)
    reader = os.fork()
    if not reader:
        os._exit(0 if can_read(read) else 1)
    status = os.waitpid(reader, 0)[1]
    os.close(held)
    os.close(release)
    os.waitpid(read, 0)
    return status == 0


reaching = pytest.mark.skipif(not siblings_can_read(), reason="processes may not read one another's memory")
