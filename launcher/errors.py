"""The launcher's errors.

LaunchError                a job that cannot start; its text is one line that a user can act on
├── UsageError             wrong input: a command line, a configuration, a device that is not there (exit status 2)
└── RendezvousError        the nodes did not find each other, or one was lost (exit status 1)
"""


class LaunchError(Exception):
    """A job that cannot start or go on; the text is one line that a user can act on."""

    exit_status = 1


class UsageError(LaunchError, ValueError):
    """Wrong input: nothing was started."""

    exit_status = 2


class RendezvousError(LaunchError):
    """The nodes of a job did not find each other in time, or one of them fell silent."""
