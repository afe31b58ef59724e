"""torch.distributed.launcher: a job started from a program, rather than from a command line."""

from .api import LaunchConfig, elastic_launch, launch_agent

__all__ = ["LaunchConfig", "elastic_launch", "launch_agent"]
