"""What a program of unittest's says of its tests."""

import re
import subprocess
import sys
from pathlib import Path


def verdicts(folder: Path, program: str) -> tuple[dict[str, str], str]:
    """Run `program`, which is written into `folder`: the verdict on each of its tests, and all that it printed."""
    script = folder / "script.py"
    script.write_text(program)
    command = [sys.executable, str(script), "-v"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stderr
    return dict(re.findall(r"^(test_\w+ \(__main__\.\w+).*\.\.\. (.+)$", printed, re.MULTILINE)), printed
