"""Arguments of a command line whose defaults are taken from the environment, under PET_ and their name."""

import os
from argparse import Action, ArgumentParser, Namespace
from typing import Any


class env(Action):
    """An argument that is PET_<its name> where the command line does not give it; it then is not required."""

    def __init__(self, dest: str, default: Any = None, required: bool = False, **kwargs: Any):
        default = os.environ.get(f"PET_{dest.upper()}", default)
        super().__init__(dest=dest, default=default, required=required and not default, **kwargs)

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None):
        setattr(namespace, self.dest, values)


class check_env(Action):
    """A flag that is on where PET_<its name> is a number other than 0."""

    def __init__(self, dest: str, default: bool = False, **kwargs: Any):
        default = bool(int(os.environ.get(f"PET_{dest.upper()}", "1" if default else "0")))
        super().__init__(dest=dest, const=True, default=default, nargs=0, **kwargs)

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None):
        setattr(namespace, self.dest, self.const)
