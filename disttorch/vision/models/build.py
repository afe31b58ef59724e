"""The functions that build the named networks: `resnet18()`, `vgg16(num_classes=10)`."""

from collections.abc import Callable
from typing import Any

from disttorch.nn import Module


def builder(name: str, network: Callable[..., Module], paper: str, **settings: Any) -> Callable[..., Module]:
    """The function called `name` that builds `network` with these settings and what its caller adds."""

    def build(pretrained: bool = False, progress: bool = True, *, weights: object = None, **options: Any) -> Module:
        if pretrained or weights is not None:
            raise NotImplementedError(
                f"{name}: no trained weights come with disttorch. Build it without, then load a file of torchvision's: "
                f"model.load_state_dict(disttorch.load('{name}.pth'))"
            )
        return network(**{**settings, **options})

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""{name}, with random weights; the state_dict's keys and shapes are torchvision's.

    `options` go to the network's class (`num_classes=1000`, ...). From {paper}.
    Raises NotImplementedError when trained weights are asked for.
    """
    return build
