"""Kill, stop and cut off ranks of training jobs at random moments, and see whether every other rank says so.

    scripts/faults --count 100 --seed 0 --jobs 4

The same seed draws the same faults; `--only 17` repeats one. Links are cut as root only. Ends with status 1 if a
fault was not reported as it must be, if a job hung, or if anything was left behind.
"""

import argparse
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "faults"))

from plan import Fault, draw
from strike import Outcome, strike


def row(fault: Fault, outcome: Outcome) -> str:
    reports = ", ".join(f"{rank}: {word} {seconds:.2f} s" for rank, (word, seconds) in outcome.reports.items())
    when = fault.moment + (f" {fault.step}" if fault.moment in ("forward", "backward", "checkpoint") else "")
    start = "launcher" if fault.launcher else "alone"
    state = "ok" if not (outcome.wrong or outcome.leftovers) else "WRONG"
    text = (
        f"{fault.number:4} {fault.kind:5} rank {fault.victim} of {fault.ranks}  {fault.layout:13} {start:8}  "
        f"{when:13} +{1000 * fault.delay:5.1f} ms  {fault.loader or '-':5}  {state:5}  {reports}"
    )
    problems = [*outcome.wrong, *(f"left: {what}" for what in outcome.leftovers)]
    return "\n".join([text, *(f"       {line}" for line in problems)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first fault to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    parser.add_argument("--only", type=int, nargs="*", help="run these faults, and show the output of all")
    options = parser.parse_args()
    faults = draw(options.seed, max([options.count, *(n + 1 for n in options.only or [])]))
    faults = [fault for fault in faults if fault.number in options.only] if options.only else faults[options.first :]
    if os.geteuid() != 0:
        faults = [fault for fault in faults if fault.layout != "network"]
    wrong, times = 0, {}
    with ThreadPoolExecutor(options.jobs) as pool:
        for fault, outcome in zip(faults, pool.map(strike, faults), strict=True):
            odd = bool(outcome.wrong or outcome.leftovers)
            print(row(fault, outcome), flush=True)
            if odd or options.only:
                print(outcome.output, flush=True)
            wrong += odd
            for rank, (_, seconds) in outcome.reports.items():
                times.setdefault((fault.kind, fault.limit(rank)), []).append(seconds)
    for (kind, limit), found in sorted(times.items()):
        print(
            f"{kind}, {limit:g} s allowed: {len(found)} reports, median {statistics.median(found):.2f} s, "
            f"slowest {max(found):.2f} s"
        )
    print(f"{len(faults)} faults, {wrong} of them not as they should be")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
