"""Whether processes may read one another's memory here: an emulator or a container may forbid that.

There, arrays that are not in shared memory are staged, and messages go over loopback.
"""

import os

import pytest
from disttorch.comm.memory import admit_siblings, can_read


def siblings_can_read() -> bool:
    """Whether one child of this process may read another's memory, once that has admitted it."""
    held, release = os.pipe()
    admitted, admit = os.pipe()
    read = os.fork()
    if not read:
        os.close(release)
        admit_siblings()
        os.write(admit, b"1")
        os.read(held, 1)  # until the parent's end is closed
        os._exit(0)
    os.close(admit)  # only the child has it now, so that its end is seen, too
    os.read(admitted, 1)
    reader = os.fork()
    if not reader:
        os._exit(0 if can_read(read) else 1)
    status = os.waitpid(reader, 0)[1]
    for end in (held, release, admitted):
        os.close(end)
    os.waitpid(read, 0)
    return status == 0


reaching = pytest.mark.skipif(not siblings_can_read(), reason="processes may not read one another's memory")
