"""cuda.comm: copies and sums between the devices of one process; cuda.nvtx and cuda.profiler; indices of devices."""

import pytest

import disttorch
from disttorch._utils import _get_all_device_indices, _get_available_device_type, _get_device_index
from disttorch.cuda import comm, nvtx, profiler


@pytest.fixture(autouse=True)
def two_devices(simulated_devices):
    simulated_devices(2)


@pytest.mark.parametrize("where", ["cpu", "cuda:0"])
def test_broadcast(where):
    x = disttorch.randn(2, 3, device=where)
    copies = comm.broadcast(x, (0, "cuda:1"))
    assert [c.get_device() for c in copies] == [0, 1]
    assert all(disttorch.equal(c.cpu(), x.cpu()) for c in copies)
    assert (copies[0] is x) == x.is_cuda
    out = [disttorch.empty(2, 3, device=i) for i in (0, 1)]
    given = comm.broadcast(x, out=out)
    assert all(g is o and disttorch.equal(g.cpu(), x.cpu()) for g, o in zip(given, out, strict=True))


def test_what_broadcast_refuses():
    x = disttorch.ones(2, device="cuda:0")
    with pytest.raises(RuntimeError, match="Exactly one of 'devices' and 'out'"):
        comm.broadcast(x)
    with pytest.raises(RuntimeError, match="be CUDA tensors, but output tensor at index 1 has device 'cpu'"):
        comm.broadcast(x, out=[x, x.cpu()])
    with pytest.raises(RuntimeError, match=r"same shape as the source tensor .* at index 0"):
        comm.broadcast(x, out=[x[None]])


def test_sums():
    x, y = disttorch.tensor([1.0, 2.0], device="cuda:0"), disttorch.tensor([10.0, 20.0], device="cuda:1")
    total = comm.reduce_add((x, y), 1)
    assert (total.get_device(), total.tolist()) == (1, [11, 22])
    rows = comm.broadcast_coalesced([x, x.long() * 3], (0, 1))
    assert rows[0][0] is x
    assert [(t.get_device(), t.tolist()) for t in comm.reduce_add_coalesced(rows)] == [(0, [2, 4]), (0, [6, 12])]
    with pytest.raises(AssertionError, match="input 1 is on CPU"):
        comm.reduce_add((x, y.cpu()))
    with pytest.raises(ValueError, match="input 1 has invalid size: got 1, but expected 2"):
        comm.reduce_add((x, y[:1]))
    with pytest.raises(RuntimeError, match="destination to be on the same GPU with one of the tensors"):
        comm.reduce_add((x, x), 1)


@pytest.mark.parametrize(("dim", "sizes"), [(0, None), (1, None), (-1, None), (0, (1, 3))])
def test_scatter_and_gather(dim, sizes):
    x = disttorch.randn(4, 6)
    parts = comm.scatter(x, (0, 1), sizes, dim)
    assert [p.get_device() for p in parts] == [0, 1]
    assert [p.shape[dim] for p in parts] == list(sizes or (x.shape[dim] // 2,) * 2)
    assert disttorch.equal(comm.gather(parts, dim, "cpu"), x)
    out = [disttorch.empty_like(p) for p in parts]
    given = comm.scatter(x, dim=dim, out=out)
    assert all(g is o for g, o in zip(given, out, strict=True))
    with disttorch.cuda.device(1):
        joined = comm.gather(given, dim)
    assert joined.get_device() == 1
    assert disttorch.equal(joined.cpu(), x)
    assert disttorch.equal(comm.gather(given, dim, out=disttorch.empty(4, 6)), x)


def test_what_scatter_and_gather_refuse():
    x = disttorch.randn(4, 6)
    a, b = comm.scatter(x, (0, 1))
    for call, text in (
        (lambda: comm.scatter(x, (0,), (1, 3)), "devices and chunk_sizes to be of same length"),
        (lambda: comm.scatter(x, ()), "at least one device to scatter to"),
        (lambda: comm.scatter(x, (0, 1), out=[a, b]), "'devices' must not be specified"),
        (lambda: comm.scatter(x, out=[]), "at least one output tensor to scatter to"),
        (lambda: comm.scatter(x, out=[a, b.cpu()]), "output tensor at index 1 has device 'cpu'"),
        (lambda: comm.scatter(x, out=[a[None], b]), "Output tensor at index 0 has incorrect shape"),
        (lambda: comm.scatter(x, out=[a, b[:1]]), "Total size for output tensors along scatter dim 0 does not match"),
        (lambda: comm.gather((a, b), destination="cpu", out=x), "'destination' must not be specified"),
        (lambda: comm.gather(()), "at least one tensor to gather from"),
        (lambda: comm.gather((a, b.cpu())), "input tensors to be CUDA tensors, but tensor at index 1"),
        (lambda: comm.gather((a, b[None])), "same number of dimensions, but tensor at index 1"),
        (lambda: comm.gather((a, b[:, 1:])), "Input tensor at index 1 has invalid shape"),
        (lambda: comm.gather((a, b), out=x[1:]), "Expected out tensor to have shape"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()


def test_indices_of_devices():
    assert [_get_device_index(d) for d in (1, "cuda:1", disttorch.device("cuda:1"))] == [1, 1, 1]
    with disttorch.cuda.device(1):
        assert [_get_device_index(d, optional=True) for d in (None, "cuda")] == [1, 1]
    assert _get_device_index("cpu", allow_cpu=True) == -1
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        _get_device_index("cpu")
    for nothing in (None, "cuda", 1.5):
        with pytest.raises(ValueError, match="with a specified index or an integer, but got:"):
            _get_device_index(nothing, optional=nothing == 1.5)
    assert _get_all_device_indices() == [0, 1]
    assert _get_available_device_type() == "cuda"


def test_ranges_for_profilers(simulated_devices):
    assert [nvtx.range_push("step"), nvtx.range_push("forward")] == [0, 1]
    with nvtx.range("layer {}", 3):
        nvtx.mark("here")
    assert [nvtx.range_pop(), nvtx.range_pop()] == [1, 0]
    simulated_devices(None)
    with pytest.raises(RuntimeError, match="NVTX functions not installed"):
        nvtx.range_push("step")


def test_profiler(simulated_devices):
    runtime = disttorch.cuda.cudart()
    assert [runtime.cudaProfilerStart(), runtime.cudaProfilerStop()] == [0, 0]
    profiler.start()
    profiler.stop()
    with profiler.profile():
        pass
    simulated_devices(None)
    with pytest.raises(RuntimeError, match="NVIDIA driver"):
        disttorch.cuda.cudart()
