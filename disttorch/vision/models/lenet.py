"""LeNet-5."""

from disttorch import Tensor
from disttorch.nn import Conv2d, Linear, Module
from disttorch.nn import functional as F


class LeNet(Module):
    """Two convolutions and three linear layers, for pictures of 32x32.

    From Y. LeCun and others, Gradient-based learning applied to document recognition (1998), with ReLU and max pooling
    as it is taught today.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, 6, 5)
        self.conv2 = Conv2d(6, 16, 5)
        self.fc1 = Linear(16 * 5 * 5, 120)
        self.fc2 = Linear(120, 84)
        self.fc3 = Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, 32, 32)
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 16, 5, 5)
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)  # (B, num_classes)
