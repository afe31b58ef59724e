"""Functions that tests run in processes of a fresh interpreter, which must be able to import them."""

import disttorch
import disttorch.multiprocessing  # which makes tensors travel as shared memory


def double(queue, done):
    t = queue.get()
    t.mul_(2)
    queue.put(t[1:])
    done.wait()


def add_one(module, connection):
    with disttorch.no_grad():
        for p in module.parameters():
            p.add_(1)
    connection.send([p.requires_grad for p in module.parameters()])


def send_and_leave(queue):
    queue.put(disttorch.ones(3))


def write_index(i, t, factor):
    t[i] = factor * i


def reduce_rank(rank):
    x = disttorch.tensor([rank + 1.0])
    disttorch.distributed.all_reduce(x)
    disttorch.distributed.barrier()
    return x.item()


def meet(rank, where, port, out):
    import os

    dist = disttorch.distributed
    if where == "environment":
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        dist.init_process_group("gloo")
    else:
        dist.init_process_group("nccl", init_method=f"tcp://127.0.0.1:{port}?rank={rank}&world_size=2")
    out[rank] = reduce_rank(rank)
    dist.destroy_process_group()


def meet_twice(rank, ports, out):
    dist = disttorch.distributed
    for port in ports:
        dist.init_process_group(init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
        x = disttorch.ones(1)
        dist.all_reduce(x)
        dist.destroy_process_group()
    out[rank] = x.item()


def check_tied(rank, module, weight, other):
    assert module.weight is weight
    assert all(p.is_shared() for p in other.parameters())
