"""torch.profiler: how often each operation ran, and how long."""

from .profile import ProfilerAction, ProfilerActivity, profile, record_function, schedule, tensorboard_trace_handler

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "tensorboard_trace_handler",
]
