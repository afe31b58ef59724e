"""Modules called all at once, each in the thread of its device."""

import traceback
from typing import Any

from .scatter_gather import device_list
from .team import Team


def parallel_apply(
    modules: list, inputs: list, kwargs_tup: Any = None, devices: Any = None, team: Team | None = None
) -> list:
    """modules[r](*inputs[r], **kwargs_tup[r]) in the thread of device r (None: the current one), all at once.

    An error is raised again here as one of its kind that says in which replica it arose, with its traceback.
    """
    count = len(modules)
    if count != len(inputs):
        raise AssertionError(f"The number of modules {count} is not equal to the number of inputs {len(inputs)}")
    team = team or Team(device_list(devices or [None] * count))
    keywords = kwargs_tup or ({},) * count

    def task(rank: int, _group: Any) -> Any:
        given = inputs[rank]
        given = given if isinstance(given, (list, tuple)) else (given,)
        try:
            return modules[rank](*given, **keywords[rank])
        except Exception as error:
            raise _in_replica(error, rank, team.devices[rank]) from error

    return team.run(task)


class _Message(str):
    """A text that KeyError, which prints what it is given as code, prints as it is."""

    __repr__ = str.__str__


def _in_replica(error: Exception, rank: int, where: Any) -> Exception:
    text = (
        f"Caught {type(error).__name__} in replica {rank} on device {where.index}.\nOriginal {traceback.format_exc()}"
    )
    if type(error) is KeyError:
        return KeyError(_Message(text))
    try:
        return type(error)(text)
    except TypeError:  # its constructor wants more than a message
        return RuntimeError(text)
