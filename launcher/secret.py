"""The job's secret, from which all its keys are derived: how every node of the job comes to hold the same one.

One node: a fresh secret. Several nodes: DISTTORCH_JOB_SECRET, set alike on each. Several "nodes" of one machine (a
loopback address) may do without: node 0 leaves a fresh one in a file that only the same user can read.
"""

import os
import tempfile
from pathlib import Path

from disttorch.comm.security import MINIMUM_SECRET, SECRET_VARIABLE

from .errors import UsageError


def given_secret() -> str:
    """The secret that the environment sets; empty without one. Raises UsageError if it is too short to be one."""
    secret = os.environ.get(SECRET_VARIABLE, "")
    if secret and len(secret.encode()) < MINIMUM_SECRET:
        raise UsageError(f"{SECRET_VARIABLE} must hold at least {MINIMUM_SECRET} bytes, got {len(secret.encode())}")
    return secret


def require_secret(nnodes: int, loopback: bool) -> None:
    """Raises UsageError where nodes on several machines have no secret in common."""
    if nnodes > 1 and not loopback and not given_secret():
        raise UsageError(
            f"several machines need one secret: set {SECRET_VARIABLE} to the same value on each (openssl rand -hex 32)"
        )


def key_file(port: int) -> Path:
    """Where the nodes of one machine that meet at `port` find their secret."""
    return Path(tempfile.gettempdir(), f"disttorch-{os.getuid()}-{port}.key")


def leave_secret(path: Path, secret: str) -> None:
    """Write the secret where the other nodes of this machine and user will look."""
    path.unlink(missing_ok=True)  # of a job that was killed: who calls this holds the port
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(secret)


def find_secret(path: Path) -> str | None:
    """The secret that node 0 left; None while there is none. Raises UsageError for another user's file."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                raise UsageError(f"{path} belongs to another user; choose another --master-port")
            return file.read() or None
    except FileNotFoundError:
        return None
