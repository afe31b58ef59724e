"""`python -m disttorch.launcher …` is `disttorch run …`."""

import sys

from .cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
