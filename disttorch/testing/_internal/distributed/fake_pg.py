"""torch.testing._internal.distributed.fake_pg: the backend "fake", at the place where programs look for it."""

from ....distributed.fake import FakeProcessGroup, FakeStore

__all__ = ["FakeProcessGroup", "FakeStore"]
