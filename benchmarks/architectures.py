"""Networks of kinds that the first table does not have: a group of filters for each channel, other activations and
normalizations, parts that are put together, sums over a graph's edges. Written for either library, as in `workloads`.
"""

from typing import Any


def mobilenet(torch: Any):
    """Howard et al., "MobileNets" (2017), short, with ReLU6 as in the second version."""
    nn = torch.nn

    def separable(inner, outer, stride):
        return nn.Sequential(
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(True),
            nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU6(True),
        )  # fmt: skip

    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(True), separable(32, 64, 1),
        separable(64, 128, 2), separable(128, 128, 1), separable(128, 256, 2), separable(256, 256, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def efficientnet(torch: Any):
    """Tan and Le, "EfficientNet" (2019): inverted bottlenecks with squeeze and excitation, short."""
    nn, F = torch.nn, torch.nn.functional

    class Excitation(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.squeeze, self.excite = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

        def forward(self, x):
            return x * torch.sigmoid(self.excite(F.silu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))

    class Bottleneck(nn.Module):
        def __init__(self, channels):
            super().__init__()
            wide = 4 * channels
            self.parts = nn.Sequential(
                nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU(),
                nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.SiLU(),
                Excitation(wide), nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels),
            )  # fmt: skip

        def forward(self, x):
            return x + self.parts(x)

    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.SiLU(), Bottleneck(24),
        nn.Conv2d(24, 40, 3, 2, 1), Bottleneck(40), Bottleneck(40), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(40, 10),
    )  # fmt: skip


def densenet(torch: Any):
    """Huang et al., "Densely Connected Convolutional Networks" (2017): two blocks of six layers, growth 12."""
    nn = torch.nn

    class Layer(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.parts = nn.Sequential(
                nn.BatchNorm2d(inner), nn.ReLU(), nn.Conv2d(inner, 48, 1, bias=False),
                nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 12, 3, padding=1, bias=False),
            )  # fmt: skip

        def forward(self, x):
            return torch.cat([x, self.parts(x)], 1)

    first, second = [Layer(24 + 12 * i) for i in range(6)], [Layer(48 + 12 * i) for i in range(6)]
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), *first, nn.Conv2d(96, 48, 1), nn.AvgPool2d(2), *second,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(120, 10),
    )  # fmt: skip


def unet(torch: Any):
    """Ronneberger et al., "U-Net" (2015): two steps down, one up by a transposed convolution, one by interpolation."""
    nn, F = torch.nn, torch.nn.functional

    def twice(inner, outer):
        return nn.Sequential(
            nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(True),
            nn.Conv2d(outer, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(True),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2, self.bottom = twice(3, 16), twice(16, 32), twice(32, 64)
            self.up2, self.up1 = twice(64, 32), twice(48, 16)
            self.raised, self.head = nn.ConvTranspose2d(64, 32, 2, 2), nn.Conv2d(16, 2, 1)

        def forward(self, x):
            first = self.down1(x)
            second = self.down2(F.max_pool2d(first, 2))
            bottom = self.bottom(F.max_pool2d(second, 2))
            x = self.up2(torch.cat([self.raised(bottom), second], 1))
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            return self.head(self.up1(torch.cat([x, first], 1)))

    return UNet()


def group_norms(torch: Any):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.GroupNorm(8, 32), nn.SiLU(), nn.Conv2d(32, 64, 3, 2, 1),
        nn.GroupNorm(8, 64), nn.SiLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.InstanceNorm2d(64), nn.PReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def graph_convolution(torch: Any):
    """Two layers, each of which adds up the neighbours of a graph of 1,000 nodes and 5,000 edges."""
    nn = torch.nn

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 10)
            self.source, self.target = torch.randint(0, 1000, (2, 5000))

        def neighbours(self, x):
            return torch.zeros_like(x).index_add(0, self.target, x[self.source])

        def forward(self, x):  # (nodes, features)
            return self.second(self.neighbours(torch.relu(self.first(self.neighbours(x)))))

    return Graph()
