"""The networks that are timed, written once for both libraries: each builder takes the module `torch` (ours or
PyTorch).
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from architectures import densenet, efficientnet, graph_convolution, group_norms, mobilenet, unet


class Workload(NamedTuple):
    """`build(torch)` gives (model, inputs, targets, loss function); wanted: PyTorch's time over ours, by the project's
    goals.
    """

    build: Callable
    wanted: float
    steps: int  # timed together, so that a sample lasts some tens of milliseconds


def lenet(torch: Any):
    nn, F = torch.nn, torch.nn.functional

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, 400)
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    return LeNet()


def mlp(torch: Any):
    nn = torch.nn
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def resnet34(torch: Any):
    """Residual blocks of two convolutions, in stages of 3, 4, 6 and 3."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inner, outer, stride=1, shortcut=None):
            super().__init__()
            self.left = nn.Sequential(
                nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True),
                nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer),
            )  # fmt: skip
            self.right = shortcut

        def forward(self, x):
            out = self.left(x)
            out += x if self.right is None else self.right(x)
            return F.relu(out)

    def stage(inner, outer, count, stride=1):
        shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        return nn.Sequential(Block(inner, outer, stride, shortcut), *[Block(outer, outer) for _ in range(1, count)])

    class ResNet34(nn.Module):
        def __init__(self):
            super().__init__()
            self.pre = nn.Sequential(
                nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
            )
            self.stages = nn.Sequential(
                stage(64, 64, 3), stage(64, 128, 4, 2), stage(128, 256, 6, 2), stage(256, 512, 3, 2)
            )
            self.fc = nn.Linear(512, 10)

        def forward(self, x):
            x = self.stages(self.pre(x))
            return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))

    return ResNet34()


def recurrent(torch: Any, kind: str):
    nn = torch.nn

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(nn, kind)(128, 256, 2, batch_first=True)
            self.head = nn.Linear(256, 10)

        def forward(self, x):  # (batch, time, features)
            return self.head(self.rnn(x)[0][:, -1])

    return Recurrent()


def transformer(torch: Any):
    nn = torch.nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
            self.layers, self.head = nn.TransformerEncoder(layer, 4), nn.Linear(256, 10)

        def forward(self, x):  # (batch, tokens, 256)
            return self.head(self.layers(x).mean(1))

    return Encoder()


def text_cnn(torch: Any):
    """Kim, "Convolutional Neural Networks for Sentence Classification" (2014)."""
    nn, F = torch.nn, torch.nn.functional

    class TextCNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5000, 128)
            self.convs = nn.ModuleList([nn.Conv1d(128, 100, k) for k in (3, 4, 5)])
            self.head = nn.Linear(300, 10)

        def forward(self, x):  # (batch, words)
            x = self.embedding(x).transpose(1, 2)
            return self.head(torch.cat([F.relu(c(x)).max(2)[0] for c in self.convs], 1))

    return TextCNN()


def vit(torch: Any):
    nn = torch.nn

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, 192, 8, 8)
            self.position = nn.Parameter(torch.zeros(1, 64, 192))
            layer = nn.TransformerEncoderLayer(
                192, 3, 768, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.layers, self.norm, self.head = (
                nn.TransformerEncoder(layer, 4, enable_nested_tensor=False),
                nn.LayerNorm(192),
                nn.Linear(192, 10),
            )

        def forward(self, x):  # (batch, 3, 64, 64)
            x = self.patch(x).flatten(2).transpose(1, 2) + self.position
            return self.head(self.norm(self.layers(x)).mean(1))

    return ViT()


def gpt(torch: Any):
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(192), nn.LayerNorm(192)
            self.qkv, self.out = nn.Linear(192, 576), nn.Linear(192, 192)
            self.mlp = nn.Sequential(nn.Linear(192, 768), nn.GELU(), nn.Linear(768, 192))

        def forward(self, x):  # (B, T, C)
            b, t, c = x.shape
            q, k, v = (y.view(b, t, 6, 32).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(192, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).contiguous().view(b, t, c))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.position = nn.Embedding(1000, 192), nn.Embedding(64, 192)
            self.blocks, self.norm, self.head = (
                nn.Sequential(*[Block() for _ in range(4)]),
                nn.LayerNorm(192),
                nn.Linear(192, 1000, bias=False),
            )

        def forward(self, x):  # (B, T)
            x = self.token(x) + self.position(torch.arange(x.size(1)))
            return self.head(self.norm(self.blocks(x))).view(-1, 1000)

    return GPT()


def dcgan(torch: Any):
    """The generator of Radford et al. (2016) at 32x32; the loss is its output's distance from noise."""
    nn = torch.nn
    up = lambda i, o, s, p: [nn.ConvTranspose2d(i, o, 4, s, p, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]  # noqa: E731
    return nn.Sequential(
        *up(64, 128, 1, 0), *up(128, 64, 2, 1), *up(64, 32, 2, 1), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()
    )


def autoencoder(torch: Any):
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 64),
        nn.ReLU(),
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Linear(256, 784),
        nn.Sigmoid(),
    )


def resnet50(torch: Any):
    nn, F = torch.nn, torch.nn.functional

    class Bottleneck(nn.Module):
        def __init__(self, inner, width, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
            fits = stride == 1 and inner == 4 * width
            self.down = (
                None
                if fits
                else nn.Sequential(nn.Conv2d(inner, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
            )

        def forward(self, x):
            out = F.relu(self.bn1(self.conv1(x)))
            out = F.relu(self.bn2(self.conv2(out)))
            return F.relu(self.bn3(self.conv3(out)) + (x if self.down is None else self.down(x)))

    layers, inner = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(inner, width, stride if i == 0 else 1))
            inner = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 10))


def _classifier(
    network: Callable, *shape: int, classes: int = 10, tokens: int | None = None, per_token: bool = False
) -> Callable:
    def build(torch: Any):
        x = torch.randn(*shape) if tokens is None else torch.randint(0, tokens, shape)
        y = torch.randint(0, classes, (shape[0] * shape[1] if per_token else shape[0],))
        return network(torch), x, y, torch.nn.functional.cross_entropy

    return build


def _segmenter(network: Callable, *shape: int) -> Callable:
    def build(torch: Any):
        y = torch.randint(0, 2, (shape[0], *shape[2:]))
        return network(torch), torch.randn(*shape), y, torch.nn.functional.cross_entropy

    return build


def _to_noise(network: Callable, inputs: tuple, outputs: tuple) -> Callable:
    def build(torch: Any):
        return network(torch), torch.randn(*inputs), torch.rand(*outputs), torch.nn.functional.mse_loss

    return build


WORKLOADS = {
    "lenet-4": Workload(_classifier(lenet, 4, 3, 32, 32), 2.3, 40),
    "lenet-64": Workload(_classifier(lenet, 64, 3, 32, 32), 1.6, 8),
    "lenet-256": Workload(_classifier(lenet, 256, 3, 32, 32), 1.6, 2),
    "mlp-64": Workload(_classifier(mlp, 64, 784), 1.5, 60),
    "resnet34-64px": Workload(_classifier(resnet34, 4, 3, 64, 64), 1.1, 1),
    "resnet34-224px": Workload(_classifier(resnet34, 4, 3, 224, 224), 1.15, 1),
    "lstm": Workload(_classifier(lambda torch: recurrent(torch, "LSTM"), 32, 64, 128), 1.05, 1),
    "transformer": Workload(_classifier(transformer, 8, 128, 256), 1.2, 1),
}
MORE = {  # at or above 1.0
    "gru": Workload(_classifier(lambda torch: recurrent(torch, "GRU"), 32, 64, 128), 1.0, 1),
    "text-cnn": Workload(_classifier(text_cnn, 32, 64, tokens=5000), 1.0, 3),
    "vit": Workload(_classifier(vit, 8, 3, 64, 64), 1.0, 1),
    "gpt": Workload(_classifier(gpt, 4, 64, classes=1000, tokens=1000, per_token=True), 1.0, 2),
    "dcgan": Workload(_to_noise(dcgan, (16, 64, 1, 1), (16, 3, 32, 32)), 1.0, 5),
    "autoencoder": Workload(_to_noise(autoencoder, (64, 784), (64, 784)), 1.0, 20),
    "resnet50-64px": Workload(_classifier(resnet50, 4, 3, 64, 64), 1.0, 1),
    "mobilenet": Workload(_classifier(mobilenet, 16, 3, 64, 64), 1.0, 1),
    "efficientnet": Workload(_classifier(efficientnet, 16, 3, 64, 64), 1.0, 1),
    "densenet": Workload(_classifier(densenet, 16, 3, 32, 32), 1.0, 1),
    "unet": Workload(_segmenter(unet, 4, 3, 64, 64), 1.0, 1),
    "group-norms": Workload(_classifier(group_norms, 16, 3, 32, 32), 1.0, 4),
    "graph": Workload(_classifier(graph_convolution, 1000, 64), 1.0, 12),
}
ALL = {**WORKLOADS, **MORE}


def workload_name(text: str) -> str:
    """A command line's word for one of `ALL`."""
    if text not in ALL:
        raise argparse.ArgumentTypeError(f"no such workload: {text}; there are {', '.join(ALL)}")
    return text


def accept_workloads(parser: argparse.ArgumentParser) -> None:
    """Positional arguments `workloads`: the table's unless some are named."""
    which = f"of {', '.join(ALL)} (default: the first {len(WORKLOADS)})"
    parser.add_argument("workloads", nargs="*", type=workload_name, default=list(WORKLOADS), help=which)
