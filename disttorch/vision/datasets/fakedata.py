"""Random pictures that are the same every time, for trying a program without data."""

from collections.abc import Callable

import disttorch
from disttorch.vision.datasets.vision import VisionDataset
from disttorch.vision.transforms.functional import to_pil_image


class FakeData(VisionDataset):
    """`size` pictures of shape `image_size` (C, H, W) of random pixels, each with one of `num_classes` labels.

    Picture i depends on i + `random_offset` alone. An item is a PIL image and an int, each after its transform.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size, self.image_size, self.num_classes = size, image_size, num_classes
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple:
        if not 0 <= index < len(self):
            raise IndexError(f"FakeData index {index} is out of range for {len(self)} pictures")
        generator = disttorch.Generator().manual_seed(index + self.random_offset)
        pixels = disttorch.randn(*self.image_size, generator=generator)
        label = disttorch.randint(0, self.num_classes, (1,), generator=generator).item()
        return self._transformed(to_pil_image(pixels), label)

    def __len__(self) -> int:
        return self.size
