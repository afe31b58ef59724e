"""torch.cuda on simulated devices."""

import pickle
import threading

import pytest

import disttorch
from disttorch import cuda


@pytest.fixture(autouse=True)
def devices(simulated_devices):
    simulated_devices(3)


def test_what_is_there():
    assert cuda.is_available()
    assert cuda.is_simulated()
    assert cuda.device_count() == 3
    assert isinstance(cuda.get_device_name(0), str)
    assert cuda.get_device_properties(1).total_memory > 0
    assert len(cuda.get_device_capability()) == 2
    assert cuda.is_bf16_supported() in (True, False)


def test_the_current_device():
    assert cuda.current_device() == 0
    cuda.set_device(2)
    assert disttorch.ones(1, device="cuda").device == disttorch.device("cuda:2")
    with cuda.device(1):
        assert cuda.current_device() == 1
        assert disttorch.ones(1).cuda().get_device() == 1
    assert cuda.current_device() == 2
    cuda.set_device("cuda:0")
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        cuda.set_device(3)


def test_moving_and_mixing():
    a, b = disttorch.ones(2), disttorch.ones(2, device="cuda:1")
    assert str(a.to("cuda:1").device) == "cuda:1"
    assert a.cuda(2).cpu().device == disttorch.device("cpu")
    with pytest.raises(
        RuntimeError, match="Expected all tensors to be on the same device, but found at least two devices"
    ):
        a + b
    with pytest.raises(TypeError, match="can't convert cuda:1 device type tensor to numpy"):
        b.numpy()
    assert repr(b) == "tensor([1., 1.], device='cuda:1')"
    assert (b + 1).device == b.device
    assert b.tolist() == [1, 1]


def test_the_current_stream(simulated_devices):
    simulated_devices(2)
    first, second = cuda.Stream(), cuda.Stream(1)
    assert cuda.current_stream() == cuda.default_stream() != first
    with cuda.stream(first) as nothing, cuda.StreamContext(None):
        assert nothing is None
        assert cuda.current_stream() == first
        with cuda.stream(second):
            assert cuda.current_device() == 1
            assert [cuda.current_stream(0), cuda.current_stream()] == [first, second]
            assert cuda.default_stream().cuda_stream == 0
            seen = []
            thread = threading.Thread(target=lambda: seen.append(cuda.current_stream()))
            thread.start()
            thread.join(10)
        assert cuda.current_device() == 0
    assert seen == [cuda.default_stream(0)]
    assert {cuda.current_stream(0), cuda.current_stream(1)} == {cuda.default_stream(0), cuda.default_stream(1)}
    cuda.set_stream(first)
    assert cuda.current_stream() == first
    cuda.set_stream(cuda.default_stream())
    cuda._sleep(1000)
    disttorch.ones(1, device="cuda").record_stream(first)
    with pytest.raises(RuntimeError, match=r"record_stream\(\) is for tensors on CUDA devices"):
        disttorch.ones(1).record_stream(first)


def test_streams_and_events():
    stream = cuda.Stream()
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    with cuda.stream(stream):
        start.record()
        disttorch.ones(10, device="cuda").sum()
        end.record()
    cuda.synchronize()
    stream.synchronize()
    assert start.elapsed_time(end) >= 0
    assert cuda.current_stream() is not None


def test_streams_and_events_of_any_accelerator(simulated_devices):
    simulated_devices(2)
    stream = disttorch.Stream(device="cuda:1")
    assert isinstance(cuda.Stream(), disttorch.Stream)
    assert isinstance(cuda.Event(), disttorch.Event)
    with stream as entered, stream:
        assert entered is stream
        assert cuda.current_stream() == stream
        event = stream.record_event(disttorch.Event(device="cuda:1", enable_timing=True))
    assert cuda.current_device() == 0
    assert cuda.current_stream() == cuda.default_stream()
    event.synchronize()
    assert (event.device, event.query()) == (disttorch.device("cuda:1"), True)
    assert event.elapsed_time(stream.record_event()) >= 0
    with pytest.raises(TypeError):
        disttorch.Event("cuda", True)


def test_what_was_recorded_of_memory(tmp_path):
    cuda.memory._record_memory_history(max_entries=10)
    cuda.memory._dump_snapshot(tmp_path / "snapshot.pickle")
    assert pickle.loads((tmp_path / "snapshot.pickle").read_bytes()) == {"segments": [], "device_traces": []}


def test_memory_and_seeds():
    assert cuda.memory_cached() == cuda.max_memory_cached() == 0
    cuda.reset_max_memory_cached()
    assert cuda.memory_allocated() >= 0
    assert cuda.max_memory_allocated() >= 0
    cuda.reset_peak_memory_stats()
    cuda.empty_cache()
    assert isinstance(cuda.memory_summary(), str)
    cuda.manual_seed_all(5)
    first = disttorch.rand(3, device="cuda:1")
    state = cuda.get_rng_state("cuda:1")
    second = disttorch.rand(3, device="cuda:1")
    cuda.set_rng_state(state, "cuda:1")
    assert disttorch.equal(disttorch.rand(3, device="cuda:1"), second)
    cuda.manual_seed_all(5)
    assert disttorch.equal(disttorch.rand(3, device="cuda:1"), first)
    assert disttorch.equal(disttorch.rand(3, device="cuda:2"), first.to("cuda:2"))


def test_visible_devices(simulated_devices, monkeypatch):
    for value, count in [("", 0), ("1", 1), ("0,2", 2), ("0,7,1", 1)]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        simulated_devices(3)
        assert cuda.device_count() == count
        assert cuda.is_available() == (count > 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
