"""Defaults of process groups, by the names that PyTorch has for them."""

from .process_group import DEFAULT_TIMEOUT as default_pg_timeout

__all__ = ["default_pg_timeout"]
