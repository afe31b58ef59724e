"""torch._C._nn: what the arguments of `Module.to` mean, for modules with a `to` of their own."""

from ..nn.modules.conversions import parse_to as _parse_to

__all__ = ["_parse_to"]
