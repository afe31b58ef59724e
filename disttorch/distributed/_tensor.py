"""torch.distributed._tensor: the older name of torch.distributed.tensor."""

from .device_mesh import DeviceMesh, init_device_mesh
from .tensor import DTensor

__all__ = ["DTensor", "DeviceMesh", "init_device_mesh"]
