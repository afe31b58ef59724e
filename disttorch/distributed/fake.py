"""The backend "fake": one rank of a job of any size, without the others, to see what its program does and allocates.

    import torch.testing._internal.distributed.fake_pg as fake        # this import registers it
    dist.init_process_group("fake", rank=0, world_size=64, store=fake.FakeStore())

Collectives end at once. What is gathered are this rank's own tensors; what is reduced or received stays as it is.
"""

from typing import Any

from .backends import Backend
from .collectives import Work
from .process_group import ProcessGroup
from .stores import HashStore

__all__ = ["FakeProcessGroup", "FakeStore"]


class FakeStore(HashStore):
    """A store for one rank that meets nobody."""


class FakeProcessGroup(ProcessGroup):
    """A group whose other ranks are not there."""

    def getBackendName(self) -> str:
        return "fake"

    def _nothing(self, *_arguments: Any) -> Work:
        return Work()

    allreduce = broadcast = reduce = scatter = reduce_scatter = alltoall = barrier = send = recv = _nothing

    def allgather(self, output_tensors: Any, input_tensors: Any, opts: Any = None) -> Work:
        for outputs, mine in zip(output_tensors, input_tensors, strict=True):
            for output in outputs:
                output.copy_(mine)
        return Work()

    def gather(self, output_tensors: Any, input_tensors: Any, opts: Any = None) -> Work:
        return self.allgather(output_tensors, input_tensors) if output_tensors else Work()


def _create(store: Any, rank: int, size: int, timeout: Any) -> FakeProcessGroup:
    return FakeProcessGroup(rank, size)


Backend.register_backend("fake", _create, devices=["cpu", "cuda"])
