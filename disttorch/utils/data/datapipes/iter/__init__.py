"""Streams that are read from the beginning to the end."""

from . import combinatorics
from .combinatorics import ShufflerIterDataPipe as Shuffler

__all__ = ["Shuffler", "combinatorics"]
