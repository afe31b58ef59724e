"""Who may talk to us: the job's secret, the CURVE keys derived from it, and what an address may do.

Every key is derived from one secret per job, which the launcher hands to its workers in DISTTORCH_JOB_SECRET. CurveZMQ
never sends the server's public key over the wire, and a client must know it to be answered at all: so here the
"public" key is known to holders of the secret only, and knowing it is the proof of belonging to the job.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import secrets
import socket
import warnings
from functools import lru_cache

from .errors import SecurityError

SECRET_VARIABLE = "DISTTORCH_JOB_SECRET"
OPEN_VARIABLE = "DISTTORCH_INSECURE"  # "1": talk to other hosts without a secret, unencrypted
MINIMUM_SECRET = 16  # bytes; shorter ones could be guessed


def new_secret() -> str:
    """A fresh job secret, 256 bits, printable."""
    return secrets.token_hex(32)


def job_secret() -> bytes | None:
    """The secret in DISTTORCH_JOB_SECRET, or None where the variable is unset or empty.

    Raises SecurityError if it is too short to be one.
    """
    secret = os.environ.get(SECRET_VARIABLE, "").encode()
    if not secret:
        return None
    if len(secret) < MINIMUM_SECRET:
        raise SecurityError(f"{SECRET_VARIABLE} must hold at least {MINIMUM_SECRET} bytes, got {len(secret)}")
    return secret


def derive(secret: bytes, purpose: str) -> bytes:
    """32 bytes that depend on the secret and the purpose (BLAKE2b, RFC 7693, keyed)."""
    return hashlib.blake2b(purpose.encode(), key=hashlib.sha256(secret).digest(), digest_size=32).digest()


def curve_pair(secret: bytes, purpose: str) -> tuple[bytes, bytes]:
    """The (public, secret) CURVE keys, Z85-encoded, of one role in the job."""
    import zmq
    from zmq.utils import z85

    private = z85.encode(derive(secret, purpose))
    return zmq.curve_public(private), private


def secure_server(sock, secret: bytes | None) -> None:
    """Make a socket that will bind accept only holders of the secret; None leaves it open."""
    if secret is not None:
        sock.curve_server = True
        sock.curve_publickey, sock.curve_secretkey = curve_pair(secret, "server")


def secure_client(sock, secret: bytes | None) -> None:
    """Make a socket that will connect prove that it holds the secret; None leaves it open."""
    if secret is not None:
        sock.curve_serverkey = curve_pair(secret, "server")[0]
        sock.curve_publickey, sock.curve_secretkey = curve_pair(secret, "client")


@lru_cache(maxsize=1)
def insecure() -> bool:
    """True if the environment asks to do without a secret; warns, once, that anyone in the network can then join."""
    if os.environ.get(OPEN_VARIABLE) != "1":
        return False
    warnings.warn(
        f"{OPEN_VARIABLE}=1: without {SECRET_VARIABLE} messages between hosts are neither encrypted nor authenticated",
        stacklevel=2,
    )
    return True


def is_loopback(host: str) -> bool:
    """True if `host` (a name or an address) can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_loopback for entry in found)
