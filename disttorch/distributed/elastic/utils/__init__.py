"""torch.distributed.elastic.utils: ports, for programs that start ranks by themselves."""

from .distributed import get_free_port, get_socket_with_port

__all__ = ["get_free_port", "get_socket_with_port"]
