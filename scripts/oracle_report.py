"""The table of how disttorch's operations compare with an installed PyTorch's, by its own sample inputs.

.venv/bin/python scripts/oracle_report.py                     # every entry of op_db
.venv/bin/python scripts/oracle_report.py 'linalg.*' sum -v   # some entries, with every failure
.venv/bin/python scripts/oracle_report.py --update            # write the list of the entries that are wholly equal
"""

import argparse
import fnmatch
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "oracle" / "wholly_equal.txt"
sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=["*"], help="names or shell patterns of op_db entries")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every failure, not the first alone")
    parser.add_argument("--limit", type=int, default=None, metavar="N", help="at most N samples per dtype")
    parser.add_argument("--extra", action="store_true", help="complex, integer and 16-bit dtypes too")
    parser.add_argument("--errors", action="store_true", help="show errors of the right type with another wording")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table (Markdown)")
    parser.add_argument("--update", action="store_true", help=f"write {LIST.relative_to(ROOT)}")
    options = parser.parse_args()

    from oracle.replay import all_ops, replay

    lines, tally, equal = [], Counter(), []
    for name, op in all_ops().items():
        if not any(fnmatch.fnmatchcase(name, p) for p in options.patterns):
            continue
        start = time.perf_counter()
        result = replay(op, limit=options.limit, extra=options.extra)
        state = (
            "equal" if result.equal else "missing" if result.missing else "unequal" if result.samples else "no samples"
        )
        tally[state] += 1
        if result.equal:
            equal.append(name)
        first = result.failures[0] if result.failures else ""
        lines.append(f"| {name} | {state} | {result.samples} | {len(result.failures)} | {first.replace('|', '/')} |")
        seconds = time.perf_counter() - start
        print(
            f"{name:45} {state:8} {result.samples:4} samples {len(result.failures):4} failures {seconds:5.1f} s",
            flush=True,
        )
        for text in result.failures if options.verbose else result.failures[:1]:
            print(f"    {text}")
        for text in result.wordings if options.errors else []:
            print(f"    {text}")
    print(", ".join(f"{n} {state}" for state, n in tally.most_common()))
    if options.out:
        options.out.write_text(
            "| op | state | samples | failures | first failure |\n|-|-|-|-|-|\n" + "\n".join(lines) + "\n"
        )
    if options.update:
        LIST.write_text("\n".join(sorted(equal)) + "\n")


if __name__ == "__main__":
    main()
