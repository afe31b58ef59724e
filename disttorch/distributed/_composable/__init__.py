"""Modules made parallel where they stand, without a wrapper."""

from .replicate import replicate

__all__ = ["replicate"]
