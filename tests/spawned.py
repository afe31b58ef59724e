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
