"""Transforms of colour and sharpness."""

from collections.abc import Sequence
from typing import Any

import disttorch
from disttorch.nn import Module
from disttorch.vision.transforms import functional
from disttorch.vision.transforms.draw import chance, uniform
from disttorch.vision.transforms.geometry import pair

Range = tuple[float, float] | None


class Grayscale(Module):
    """Black and white, in 1 or 3 equal channels."""

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        return functional.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_output_channels={self.num_output_channels})"


class RandomGrayscale(Module):
    """Black and white with probability `p`, in as many channels as before."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        channels = functional.get_image_num_channels(img)
        return functional.rgb_to_grayscale(img, channels) if chance(self.p) else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class ColorJitter(Module):
    """Brightness, contrast, saturation and hue changed at random, in a random order.

    Each is a range (least, most) of factors, or one number x for 1 - x to 1 + x; hue's is around 0, within -0.5..0.5.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        super().__init__()
        self.brightness = self._range("brightness", brightness)
        self.contrast = self._range("contrast", contrast)
        self.saturation = self._range("saturation", saturation)
        self.hue = self._range("hue", hue, center=0.0, limits=(-0.5, 0.5), clip=False)

    @staticmethod
    def _range(
        name: str,
        value: float | Sequence[float],
        center: float = 1.0,
        limits: tuple[float, float] = (0, float("inf")),
        clip: bool = True,
    ) -> Range:
        """(least, most), or None where nothing would change."""
        if isinstance(value, int | float):
            if value < 0:
                raise ValueError(f"If {name} is a single number, it must be non negative.")
            least, most = center - value, center + value
            least = max(least, 0.0) if clip else least
        elif isinstance(value, Sequence) and len(value) == 2:
            least, most = map(float, value)
        else:
            raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
        if not limits[0] <= least <= most <= limits[1]:
            raise ValueError(f"{name} values should be between {limits}, but got {[least, most]}.")
        return None if least == most == center else (least, most)

    @staticmethod
    def get_params(brightness: Range, contrast: Range, saturation: Range, hue: Range) -> tuple:
        """The order of the four changes (a permutation of 0..3), then their factors or None."""
        order = disttorch.randperm(4)
        factors = (
            uniform(*limits) if limits is not None else None for limits in (brightness, contrast, saturation, hue)
        )
        return (order, *factors)

    def forward(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        adjust = [
            functional.adjust_brightness,
            functional.adjust_contrast,
            functional.adjust_saturation,
            functional.adjust_hue,
        ]
        for index in order.tolist():
            if factors[index] is not None:
                img = adjust[index](img, factors[index])
        return img

    def __repr__(self) -> str:
        detail = (
            f"(brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation}, hue={self.hue})"
        )
        return f"{type(self).__name__}{detail}"


class GaussianBlur(Module):
    """Blurred by a kernel of odd `kernel_size`, its `sigma` a number or drawn from (least, most)."""

    def __init__(self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(n <= 0 or n % 2 == 0 for n in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        self.sigma = (sigma, sigma) if isinstance(sigma, int | float) else tuple(sigma)
        if not 0.0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma values should be positive and of the form (min, max). Got {self.sigma}")

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        return uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(*self.sigma)
        return functional.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"
