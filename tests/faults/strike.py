"""Run a job, let its fault strike, and see what every other rank reports, how soon, and what is left behind.

As root each job has a mount namespace of its own (with an empty /dev/shm), so that nothing of other programs is taken
for the job's. `python strike.py FAULT_AS_JSON` prints an Outcome as JSON; `strike` starts that.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plan import MEETING, SOON, Fault

from launching import free_port

HERE = Path(__file__).resolve().parent
LIMIT = 45.0  # seconds after which a job counts as hanging
SETTLE = 3.0  # seconds that what a job used may take to disappear
MARK = "DISTTORCH_FAULT"  # the variable by which a job's processes are known
LAUNCHER = [sys.executable, "-m", "disttorch.launcher"]


@dataclass
class Outcome:
    """What came of a fault. reports: for each rank that it left alive what it said, and after how many seconds."""

    struck: bool = False
    reports: dict[int, tuple[str, float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    output: str = ""


def strike(fault: Fault) -> Outcome:
    """The outcome of one fault, in a process of its own."""
    alone = ["unshare", "--mount"] if os.geteuid() == 0 and shutil.which("unshare") else []
    done = subprocess.run(
        [*alone, sys.executable, __file__, fault.to_json()],
        capture_output=True, text=True, timeout=LIMIT + 30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        return Outcome(wrong=[f"the harness failed: {done.stderr}"])
    fields = json.loads(done.stdout)
    reports = {int(rank): tuple(report) for rank, report in fields.pop("reports").items()}
    return Outcome(reports=reports, **fields)


def run(fault: Fault) -> Outcome:
    """In the process that `strike` started."""
    private = os.geteuid() == 0 and not subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]).returncode
    with tempfile.TemporaryDirectory(prefix="fault-") as name, _hosts(fault) as hosts:
        folder, temporary = Path(name), Path(name, "tmp")
        temporary.mkdir()
        (folder / "fault.json").write_text(fault.to_json())
        mark = f"{os.getpid()}-{fault.number}"
        environment = {**os.environ, MARK: mark, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        environment["DISTTORCH_JOB_SECRET"] = "s" * 32
        with open(folder / "output", "w+") as output:
            jobs = _start(fault, folder, hosts, environment, output)
            hanging = _wait(fault, folder, jobs)
            outcome = _judge(fault, folder, hanging)
            if fault.kind == "stop" and not fault.launcher:
                jobs[fault.victim].kill()  # whoever started it ends it
            outcome.leftovers = _leftovers(mark, temporary, private)
            for pid in _processes(mark):
                os.kill(pid, signal.SIGKILL)
            for job in jobs:
                job.wait()
            output.seek(0)
            outcome.output = output.read()[-4000:]
    return outcome


@contextlib.contextmanager
def _hosts(fault: Fault) -> Iterator[list[tuple[str, str]]]:
    """(namespace, link) of each host; none where all is on this one."""
    tag = f"{os.getpid():x}"
    hosts = [(f"fault{tag}{side}", f"f{tag}{side}") for side in "ab"] if fault.layout == "network" else []
    ip = lambda *words: subprocess.run(["ip", *words], check=True, capture_output=True)  # noqa: E731
    try:
        for space, _ in hosts:
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        if hosts:
            (a, cable), (b, other) = hosts
            ip("link", "add", cable, "netns", a, "type", "veth", "peer", other, "netns", b)
        for number, (space, link) in enumerate(hosts, 1):
            ip("-n", space, "addr", "add", f"10.211.0.{number}/24", "dev", link)
            ip("-n", space, "link", "set", link, "up")
        yield hosts
    finally:
        for space, _ in hosts:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


def _start(fault: Fault, folder: Path, hosts: list, environment: dict, output) -> list[subprocess.Popen]:
    """The job: a process for each rank, or a launcher for each host."""
    address = "10.211.0.1" if hosts else "127.0.0.1"
    port = str(free_port())
    script = [str(HERE / "training.py"), str(folder)]

    def popen(host: int, command: list[str], **more: str) -> subprocess.Popen:
        inside = []
        if hosts:
            inside = ["ip", "netns", "exec", hosts[host][0]]
            more["FAULT_LINK"] = hosts[host][1]
        return subprocess.Popen(
            [*inside, *command], env=environment | more, stdout=output, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    if fault.launcher and hosts:
        common = ["--nnodes", "2", "--nproc-per-node", str(fault.ranks // 2), "--master-addr", address]
        common += ["--master-port", port]
        return [popen(node, [*LAUNCHER, *common, "--node-rank", str(node), *script]) for node in (0, 1)]
    if fault.launcher:
        return [popen(0, [*LAUNCHER, "--nproc-per-node", str(fault.ranks), *script])]
    where = {"WORLD_SIZE": str(fault.ranks), "MASTER_ADDR": address, "MASTER_PORT": port}
    return [
        popen(fault.host(rank) if hosts else 0, [sys.executable, *script], RANK=str(rank), **where)
        for rank in range(fault.ranks)
    ]


def _notes(folder: Path, rank: int) -> list[dict]:
    path = folder / f"{rank}.notes"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _wait(fault: Fault, folder: Path, jobs: list[subprocess.Popen]) -> list[str]:
    """Wait for the job's end (but not for a process that was stopped); what hangs."""
    limit = time.monotonic() + LIMIT
    excused = fault.victim if fault.kind == "stop" and not fault.launcher else None
    while waiting := [i for i, job in enumerate(jobs) if i != excused and job.poll() is None]:
        if time.monotonic() > limit:
            return [f"{'launcher' if fault.launcher else 'rank'} {i} hangs" for i in waiting]
        time.sleep(0.02)
    return []


def _judge(fault: Fault, folder: Path, hanging: list[str]) -> Outcome:
    struck = [note["at"] for note in _notes(folder, fault.victim) if note["what"] == "fault"]
    outcome = Outcome(struck=bool(struck), wrong=hanging)
    if not struck:
        outcome.wrong.append("the fault did not strike")
        return outcome
    for rank in fault.survivors:
        ends = [note for note in _notes(folder, rank) if note["what"] in ("failed", "finished", "terminated")]
        if not ends:
            outcome.reports[rank] = ("nothing", 0.0)
            if not (fault.launcher and fault.moment == "start-up"):  # it may be ended before it can say anything
                outcome.wrong.append(f"rank {rank} said nothing")
            continue
        end, seconds = ends[0], ends[0]["at"] - struck[0]
        outcome.reports[rank] = (_word(end), round(seconds, 2))
        if problem := _problem(fault, rank, end, seconds):
            outcome.wrong.append(f"rank {rank} {problem}")
    return outcome


def _word(end: dict) -> str:
    if end["what"] != "failed":
        return end["what"]
    return end["error"] + (f" {end['lost']}" if end["lost"] is not None else "")


def _problem(fault: Fault, rank: int, end: dict, seconds: float) -> str:
    """What is wrong with the way a rank ended, if anything."""
    limit = fault.limit(rank)
    if end["what"] == "finished":
        return "" if fault.moment == "shutdown" else "finished as if nothing had happened"
    if end["what"] == "terminated":
        if not fault.launcher:
            return "was terminated by nobody"
    elif end["error"] == "PeerLost":
        if end["lost"] not in fault.lost_to(rank):
            return f"named the wrong rank: {end['text']}"
    elif fault.moment == "start-up" and not fault.launcher and end["error"] in ("StoreTimeout", "StoreError"):
        limit = MEETING + 4 * SOON  # whom nobody has met yet can only be missed
    else:
        return f"reported {end['error']}: {end['text']}"
    return f"needed {seconds:.2f} s, allowed are {limit:g}" if seconds > limit else ""


def _processes(mark: str) -> list[int]:
    """The living processes of the job: they bear its mark."""
    found, wanted = [], f"{MARK}={mark}".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX" and wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                found.append(int(name))
    return found


def _leftovers(mark: str, temporary: Path, private: bool) -> list[str]:
    limit = time.monotonic() + SETTLE
    while True:
        left = [f"process {pid} ({_command(pid)})" for pid in _processes(mark)]
        left += [str(path) for path in temporary.rglob("*")]
        left += [f"/dev/shm/{name}" for name in os.listdir("/dev/shm")] if private else []
        if not left or time.monotonic() > limit:
            return left
        time.sleep(0.05)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
    return "?"


if __name__ == "__main__":
    print(json.dumps(asdict(run(Fault(**json.loads(sys.argv[1]))))))
