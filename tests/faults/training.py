"""The training that a fault strikes: one rank of it. Usage: training.py FOLDER, which holds fault.json.

What happens to the rank is noted, line by line as JSON, in FOLDER/<rank>.notes with the host's monotonic clock.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from plan import MEETING, STEPS, Fault

folder = Path(sys.argv[1])
fault = Fault(**json.loads((folder / "fault.json").read_text()))
rank = int(os.environ["RANK"])
os.environ["DISTTORCH_HEARTBEAT_LIMIT"] = str(fault.heartbeat)
if fault.layout in ("tcp", "hierarchical"):
    os.environ["DISTTORCH_HOST_ID"] = f"host {fault.host(rank)}"
coming: list[threading.Timer] = []  # the fault, once its moment has come


def note(what: str, **more: object) -> None:
    with open(folder / f"{rank}.notes", "a") as file:
        file.write(json.dumps({"what": what, "at": time.monotonic(), "pid": os.getpid(), **more}) + "\n")


def terminated(*_: object) -> None:
    note("terminated")
    os._exit(128 + signal.SIGTERM)


def act() -> None:
    note("fault")
    if fault.kind == "cut":
        subprocess.run(["ip", "link", "set", os.environ["FAULT_LINK"], "down"], check=True)
    else:
        os.kill(os.getpid(), signal.SIGKILL if fault.kind == "kill" else signal.SIGSTOP)


def moment(name: str, step: int) -> None:
    """A moment of the training has come: the fault's?"""
    if rank == fault.victim and (name, step) == (fault.moment, fault.step if name in STEPPED else -1):
        if fault.delay:
            coming.append(threading.Timer(fault.delay, act))
            coming[-1].start()
        else:
            act()


STEPPED = ("forward", "backward", "checkpoint")


def train() -> None:
    import disttorch as torch
    import disttorch.distributed as dist
    from disttorch import nn
    from disttorch.utils.data import DataLoader, TensorDataset

    moment("start-up", -1)
    started = fault.launcher or fault.moment != "start-up"
    dist.init_process_group("gloo", **({} if started else {"timeout": MEETING}))
    net = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(64, 2048), nn.ReLU(), nn.Linear(2048, 64)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    step = -1
    next(reversed(list(net.parameters()))).register_hook(lambda g: moment("backward", step))
    data = TensorDataset(torch.randn(STEPS * 8, 64), torch.randn(STEPS * 8, 64))
    workers = {"num_workers": 1, "multiprocessing_context": fault.loader} if fault.loader else {}
    for step, (x, y) in enumerate(DataLoader(data, batch_size=8, **workers)):
        moment("forward", step)
        loss = (net(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 3 == 2:
            moment("checkpoint", step)
            if rank == 0:
                torch.save(net.state_dict(), folder / "checkpoint")
            dist.barrier()
    for timer in coming:
        timer.join()  # a busy machine may be late with it, and no fault strikes what has ended
    moment("shutdown", -1)
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    signal.signal(signal.SIGTERM, terminated)
    note("started")
    import disttorch.distributed as dist

    try:
        train()
    except Exception as error:
        note("failed", error=type(error).__name__, text=str(error), lost=getattr(error, "rank", None))
        if dist.is_initialized():
            dist.destroy_process_group()
        note("left")
        sys.exit(1)
    note("finished")


if __name__ == "__main__":
    main()
