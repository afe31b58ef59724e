"""Tensors in queues, pipes and arguments of processes: the receiver maps the sender's memory, nothing is copied."""

from multiprocessing.reduction import DupFd, ForkingPickler

from ..autograd.variable import Tensor, wrap
from ..dtypes import as_kernels_know
from .memory import SharedMemory, array, attach, find, share


def init_reductions() -> None:
    """Teach multiprocessing's pickler to send tensors, parameters and what they live in."""
    from ..nn.parameter import Buffer, Parameter

    ForkingPickler.register(Tensor, _reduce)
    ForkingPickler.register(Parameter, _reduce_parameter)
    ForkingPickler.register(Buffer, _reduce_parameter)
    ForkingPickler.register(SharedMemory, lambda memory: (_attached, (DupFd(memory.fd),)))


def _reduce(t: Tensor) -> tuple:
    if t.requires_grad and not t.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
            "crossing process boundaries.  If you just want to transfer the data, call detach() on the tensor before "
            "serializing (e.g., putting it on the queue)."
        )
    if t.device.type == "cuda":  # another process has its own devices: sent by value
        return t.__reduce_ex__(2)
    share(t)
    memory = find(t._data)
    start = array(memory, t._data.dtype, (0,), (t._data.itemsize,)).ctypes.data
    place = (t._data.dtype, t._data.shape, t._data.strides, t._data.ctypes.data - start)
    return _rebuild, (memory, place, t.requires_grad)


def _reduce_parameter(p: Tensor) -> tuple:
    """It is sent as a tensor of its data, which lives only while it is being sent: the memory must be its own."""
    if p.device.type != "cuda":
        share(p)
    return p.__reduce_ex__(2)


def _attached(handle: DupFd) -> SharedMemory:
    try:
        return attach(handle.detach())
    except (FileNotFoundError, ConnectionError, EOFError) as error:
        raise RuntimeError(
            "the process that sent this tensor has ended: it must live until the tensor has been received"
        ) from error


def _rebuild(memory: SharedMemory, place: tuple, requires_grad: bool) -> Tensor:
    t = wrap(as_kernels_know(array(memory, *place)))
    t._rg = requires_grad
    return t
