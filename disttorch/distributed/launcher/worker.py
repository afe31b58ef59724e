"""What a worker of `elastic_launch` runs: python -m disttorch.distributed.launcher.worker FOLDER."""

import sys
from pathlib import Path

from disttorch.distributed.launcher.calls import run_call

if __name__ == "__main__":
    run_call(Path(sys.argv[1]))
