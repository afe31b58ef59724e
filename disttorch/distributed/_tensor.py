"""torch.distributed._tensor: the older name of torch.distributed.tensor."""

from .tensor import DeviceMesh, DTensor, Partial, Placement, Replicate, Shard, init_device_mesh

__all__ = ["DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "init_device_mesh"]
