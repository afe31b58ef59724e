"""torch.distributed.elastic.utils.distributed: a port that nobody listens at."""

import socket


def get_free_port() -> int:
    """A free port of this host. Another program may take it before the caller does."""
    with get_socket_with_port() as listening:
        return listening.getsockname()[1]


def get_socket_with_port() -> socket.socket:
    """A socket bound to a free port of localhost, to be closed when the port is used."""
    found = socket.socket()
    found.bind(("localhost", 0))
    return found
