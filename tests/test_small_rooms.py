"""Rooms that are a few functions each: jit, compiler, hub, sparse, futures, pytree, storage."""

import hashlib
import http.server
import pickle
import subprocess
import sys
import threading
import typing

import numpy as np
import pytest

import disttorch
from disttorch import compiler, futures, hub, jit, nn, sparse
from disttorch.utils import _pytree


# -- jit and compiler -------------------------------------------------------------------------------------------------
def test_programs_stay_what_they_are():
    model = nn.Linear(2, 1)
    assert disttorch.compile(model) is model
    assert disttorch.compile(mode="max-autotune")(model) is model
    assert jit.script(model) is model
    assert jit.trace(model, disttorch.ones(1, 2)) is model
    assert jit.freeze(model) is model
    with pytest.raises(RuntimeError):
        jit.trace(model, disttorch.ones(1, 3))  # it is run once
    for decorate in (jit.ignore, jit.unused, jit.export, jit.script_method, jit.ignore(drop=True), compiler.disable):
        assert decorate(len) is len
    assert compiler.disable()(len) is len
    assert not jit.is_scripting()
    assert not jit.is_tracing()
    assert not compiler.is_compiling()
    assert jit.wait(jit.fork(pow, 2, 3)) == 8
    assert jit.isinstance([1], list[int])
    with jit.optimized_execution(False):
        pass


def test_compiled_files_are_refused_with_advice():
    with pytest.raises(NotImplementedError, match="state_dict"):
        jit.save(nn.Linear(1, 1), "x.pt")
    with pytest.raises(NotImplementedError, match="state_dict"):
        jit.load("x.pt")


# -- hub --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "hubconf.py").write_text(
        "import helper\ndef model(size=1):\n    'A model.'\n    return helper.made(size)\ndef _hidden():\n    pass\n"
    )
    (tmp_path / "helper.py").write_text("import disttorch\ndef made(size):\n    return disttorch.nn.Linear(size, 1)\n")
    yield str(tmp_path)
    import sys

    sys.modules.pop("helper", None)


def test_a_local_hub(folder):
    assert hub.load(folder, "model", size=3, source="local", trust_repo=True).in_features == 3
    assert "model" in hub.list(folder, source="local")
    assert "_hidden" not in hub.list(folder, source="local")
    assert hub.help(folder, "model", source="local") == "A model."
    with pytest.raises(RuntimeError, match="Cannot find callable other in hubconf"):
        hub.load(folder, "other", source="local")
    with pytest.raises(FileNotFoundError, match=r"no hubconf\.py"):
        hub.load(folder + "/none", "model", source="local")
    with pytest.raises(NotImplementedError, match="source='local'"):
        hub.load("pytorch/vision", "resnet18")


@pytest.fixture
def server(tmp_path):
    files = tmp_path / "served"
    files.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(files))

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield files, f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def test_weights_are_downloaded_once(server, tmp_path):
    files, url = server
    disttorch.save({"w": disttorch.ones(2)}, files / "w.pt")
    digest = hashlib.sha256((files / "w.pt").read_bytes()).hexdigest()[:8]
    (files / "w.pt").rename(files / f"w-{digest}.pt")
    get = lambda: hub.load_state_dict_from_url(f"{url}/w-{digest}.pt", str(tmp_path / "kept"), check_hash=True)  # noqa: E731
    assert get()["w"].tolist() == [1, 1]
    (files / f"w-{digest}.pt").unlink()
    assert get()["w"].tolist() == [1, 1]
    (files / "w-0000.pt").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="invalid hash value"):
        hub.load_state_dict_from_url(f"{url}/w-0000.pt", str(tmp_path / "kept"), check_hash=True)
    assert [p.name for p in (tmp_path / "kept").iterdir()] == [f"w-{digest}.pt"]


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert hub.get_dir() == str(tmp_path / "hub")
    monkeypatch.setattr(hub, "_folder", None)
    hub.set_dir(str(tmp_path / "mine"))
    assert hub.get_dir() == str(tmp_path / "mine")


# -- sparse tensors ---------------------------------------------------------------------------------------------------
def test_sparse_tensors_are_dense():
    t = disttorch.sparse_coo_tensor([[0, 1, 1, 1], [2, 0, 2, 2]], disttorch.tensor([3.0, 4.0, 5.0, 1.0]), (2, 3))
    assert t.tolist() == [[0, 0, 3], [4, 0, 6]]
    assert disttorch.equal(t.to_sparse().coalesce().to_dense(), t)
    assert t.values().tolist() == [3, 4, 6]
    assert t.indices().tolist() == [[0, 1, 1], [2, 0, 2]]
    assert disttorch.spmm(t, disttorch.ones(3, 1)).tolist() == [[3], [10]]
    assert disttorch.sparse_coo_tensor(size=(1, 2)).tolist() == [[0, 0]]
    csr = sparse.sparse_csr_tensor([0, 1, 3], [2, 0, 2], [3.0, 4.0, 6.0], (2, 3))
    assert csr.tolist() == t.tolist()
    assert sparse.softmax(t, 1).sum(1).allclose(disttorch.ones(2))
    with pytest.raises(RuntimeError, match="size is inconsistent with indices: for dim 1"):
        disttorch.sparse_coo_tensor([[0], [5]], [1.0], (2, 3))
    with pytest.raises(RuntimeError, match="must have same nnz"):
        disttorch.sparse_coo_tensor([[0], [1]], [1.0, 2.0], (2, 3))


def test_gradients_reach_the_values():
    values = disttorch.ones(2, requires_grad=True)
    (disttorch.sparse_coo_tensor([[0, 1]], values, (3,)) * disttorch.arange(3.0)).sum().backward()
    assert values.grad.tolist() == [0, 1]


# -- futures ----------------------------------------------------------------------------------------------------------
def test_futures():
    a, b = futures.Future(), futures.Future()
    seen = []
    following = a.then(lambda f: f.value() + 1)
    failing = a.then(lambda f: 1 / 0)
    a.add_done_callback(lambda f: seen.append(f.wait()))
    with pytest.raises(RuntimeError, match="must be completed"):
        a.value()
    both = futures.collect_all([a, b])
    a.set_result(1)
    assert (following.wait(), seen, both.done()) == (2, [1], False)
    with pytest.raises(ZeroDivisionError):
        failing.wait()
    with pytest.raises(RuntimeError, match="only be marked completed once"):
        a.set_result(2)
    with pytest.raises(TypeError, match="not an Exception"):
        b.set_exception(3)
    b.set_exception(KeyError("x"))
    assert both.wait() == [a, b]
    with pytest.raises(KeyError):
        futures.wait_all([a, b])
    assert futures.collect_all([]).wait() == []


def test_a_future_from_another_thread():
    future = futures.Future()
    thread = threading.Timer(0.01, future.set_result, ("there",))
    thread.start()
    assert future.wait() == "there"
    thread.join()


# -- trees -------------------------------------------------------------------------------------------------------------
def test_trees():
    from collections import OrderedDict, namedtuple

    Pair = namedtuple("Pair", "a b")
    tree = {"x": [1, (2, 3)], "y": Pair(4, OrderedDict(z=5))}
    leaves, spec = _pytree.tree_flatten(tree)
    assert leaves == [1, 2, 3, 4, 5]
    assert _pytree.tree_unflatten(leaves, spec) == tree
    doubled = _pytree.tree_map(lambda v: 2 * v, tree)
    assert doubled == {"x": [2, (4, 6)], "y": Pair(8, OrderedDict(z=10))}
    assert type(doubled["y"]) is Pair
    assert _pytree.tree_map(lambda a, b: a + b, tree, doubled)["x"] == [3, (6, 9)]
    assert _pytree.tree_map_only(int, str, [1, "a"]) == ["1", "a"]
    assert _pytree.tree_leaves(tree, is_leaf=lambda v: isinstance(v, tuple)) == [1, (2, 3), Pair(4, OrderedDict(z=5))]
    assert spec == _pytree.tree_structure(tree)
    with pytest.raises(ValueError, match="has length 1, the spec wants 5"):
        _pytree.tree_unflatten([1], spec)


# -- storages and the old constructors --------------------------------------------------------------------------------
def test_storages(tmp_path):
    t = disttorch.arange(6, dtype=disttorch.int16).reshape(2, 3)
    whole, typed = t[1].untyped_storage(), t[1].storage()
    assert whole == t.untyped_storage()
    assert (whole.nbytes(), len(whole), typed.size(), typed.tolist()) == (12, 12, 6, [0, 1, 2, 3, 4, 5])
    assert whole.data_ptr() == t.data_ptr()
    typed.tensor()[0] = 7
    assert t[0, 0] == 7
    assert disttorch.is_storage(whole)
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(8)))
    mapped = disttorch.UntypedStorage.from_file(str(path), nbytes=8)
    assert np.asarray(mapped[2:4]).tolist() == [2, 3]
    with pytest.raises(RuntimeError, match="has 8 bytes, 9 are wanted"):
        disttorch.UntypedStorage.from_file(str(path), nbytes=9)


def test_tensors_over_a_storage():
    t = disttorch.arange(6.0).reshape(2, 3)
    for storage in (t.storage(), t.untyped_storage()):
        assert disttorch.empty(0).set_(storage).tolist() == [0, 1, 2, 3, 4, 5]
        assert disttorch.empty(0).set_(storage, 1, (2, 2)).tolist() == [[1, 2], [3, 4]]
        assert disttorch.empty(0).set_(storage, 1, (2, 2), (1, 2)).tolist() == [[1, 3], [2, 4]]
    disttorch.empty(0).set_(t.storage())[0] = 9
    assert t[0, 0] == 9
    assert disttorch.ones(4).resize_as(t[:, :2]).shape == (2, 2)
    with pytest.raises(RuntimeError, match="Expected a Storage of"):
        disttorch.empty(0, dtype=disttorch.int32).set_(t.storage())


def test_storages_shrink_and_grow_back():
    """As sharded data parallel wrappers do with parameters that nobody needs for a while."""
    t = disttorch.ones(2, 3)
    t.untyped_storage().resize_(0)
    assert (t.storage().size(), t.untyped_storage().nbytes(), t[1].storage().size()) == (0, 0, 0)
    t.storage().resize_(6)
    assert (t.storage().size(), t.fill_(3).sum().item()) == (6, 18)
    with pytest.raises(RuntimeError, match="has 24 bytes, and cannot grow to 28"):
        t.storage().resize_(7)
    assert disttorch.ones(2, 3).storage().size() == 6


def test_old_storages():
    storage = disttorch.ByteStorage._from_buffer(b"pickled")
    assert disttorch.ByteTensor(storage).numpy().tobytes() == b"pickled"
    assert disttorch.FloatStorage.from_buffer(b"\x3f\x80\0\0", "big").tolist() == [1.0]
    floats = disttorch.FloatStorage([1, 2, 3])
    disttorch.FloatTensor(floats)[0] = 9
    assert floats.tolist() == [9, 2, 3]
    assert len(disttorch.LongStorage(3)) == 3
    assert isinstance(floats, disttorch.FloatStorage)
    assert not isinstance(storage, disttorch.FloatStorage)
    with pytest.raises(RuntimeError, match="Expected a Storage of"):
        disttorch.FloatTensor(storage)


def test_old_constructors_on_devices(simulated_devices):
    with pytest.raises(TypeError, match=r"type torch\.cuda\.FloatTensor not available"):
        disttorch.cuda.FloatTensor([1])
    simulated_devices(2)
    x = disttorch.cuda.FloatTensor([[1, 2]])
    assert (x.device.index, x.shape, x.dtype) == (0, (1, 2), disttorch.float32)
    assert isinstance(x, disttorch.cuda.FloatTensor)
    assert not isinstance(x, disttorch.FloatTensor)
    assert disttorch.cuda.LongTensor(2, 3).is_cuda
    with pytest.raises(TypeError, match=r"expected torch\.cuda\.FloatTensor \(got torch\.FloatTensor\)"):
        disttorch.cuda.FloatTensor(disttorch.ones(1))
    for kind in (disttorch.cuda.HalfTensor, "torch.cuda.HalfTensor"):
        assert x.cpu().type(kind).type() == "torch.cuda.HalfTensor"
        assert x.to(1).type(kind).get_device() == 1
    for kind in (disttorch.IntTensor, "torch.IntTensor"):
        assert x.type(kind).type() == "torch.IntTensor"
    assert x.type(disttorch.int64).type() == "torch.cuda.LongTensor"
    with pytest.raises(ValueError, match=r"invalid type: 'torch\.xla\.FloatTensor'"):
        x.type("torch.xla.FloatTensor")
    disttorch.set_default_tensor_type(disttorch.cuda.DoubleTensor)
    try:
        assert disttorch.ones(1).type() == "torch.cuda.DoubleTensor"
    finally:
        disttorch.set_default_tensor_type(disttorch.FloatTensor)
        disttorch.set_default_device(None)


def test_old_constructors():
    assert disttorch.FloatTensor([1, 2]).dtype is disttorch.float32
    assert disttorch.LongTensor(2, 3).shape == disttorch.LongTensor(size=(2, 3)).shape == (2, 3)
    assert disttorch.ByteTensor().numel() == 0
    assert isinstance(disttorch.ones(1), disttorch.FloatTensor)
    assert not isinstance(disttorch.ones(1), disttorch.LongTensor)
    assert disttorch.Tensor([[1, 2]]).dtype is disttorch.float32
    with pytest.raises(TypeError):
        disttorch.LongTensor(disttorch.ones(1))


def test_settings_are_kept():
    disttorch.set_float32_matmul_precision("high")
    assert disttorch.get_float32_matmul_precision() == "high"
    disttorch.set_float32_matmul_precision("highest")
    with pytest.raises(ValueError, match="precision must be one of"):
        disttorch.set_float32_matmul_precision("low")
    disttorch.use_deterministic_algorithms(True)
    assert disttorch.are_deterministic_algorithms_enabled()
    with pytest.raises(TypeError, match="invalid type object"):
        disttorch.set_default_tensor_type("torch.NothingTensor")
    disttorch.set_default_tensor_type(disttorch.DoubleTensor)
    assert disttorch.tensor(1.0).dtype is disttorch.float64
    disttorch.set_default_tensor_type("torch.FloatTensor")
    assert disttorch.tensor(1.0).dtype is disttorch.float32


def test_numpy_names_of_settings():
    t = disttorch.arange(6.0).reshape(2, 3)
    assert t.sum(axis=0, keepdims=True).shape == (1, 3)
    assert disttorch.cat([t, t], axis=1).shape == (2, 6)
    assert t.max(axis=1).indices.tolist() == [2, 2]
    assert disttorch.softmax(t, axis=-1).sum(axis=1).allclose(disttorch.ones(2))


def test_the_accelerator(simulated_devices):
    assert disttorch.accelerator.current_accelerator() is None
    simulated_devices(2)
    assert disttorch.accelerator.is_available()
    assert disttorch.accelerator.device_count() == 2
    assert disttorch.accelerator.current_accelerator().type == "cuda"
    disttorch.accelerator.set_device_index(1)
    assert disttorch.accelerator.current_device_index() == 1
    disttorch.accelerator.synchronize()


@pytest.mark.parametrize(
    "name",
    [
        "utils.data.DataLoader",
        "utils.data.distributed.DistributedSampler",
        "utils.checkpoint.checkpoint",
        "nn.utils.rnn.pad_sequence",
        "nn.parallel.DistributedDataParallel",
        "optim.lr_scheduler.StepLR",
        "autograd.functional.jacobian",
        "cuda.amp.autocast",
        "vision.transforms.Compose",
    ],
)
def test_rooms_are_reached_from_the_top_alone(name):
    code = f"import disttorch; print(disttorch.{name})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


# -- functions under other names --------------------------------------------------------------------------------------
def test_in_place_operations_are_functions_too():
    x = disttorch.tensor([-1.0, 4.0])
    assert disttorch.abs_(x) is x
    assert disttorch.clamp_(disttorch.sqrt_(x), max=1.5).tolist() == [1.0, 1.5]
    assert x.tolist() == [1.0, 1.5]
    assert "sigmoid_" in dir(disttorch)
    with pytest.raises(AttributeError, match="has no attribute 'no_such_'"):
        getattr(disttorch, "no_such_")  # noqa: B009


def test_names_that_libraries_take(tmp_path, monkeypatch, simulated_devices):
    from disttorch.hub import _get_torch_home
    from disttorch.nn.common_types import _size_2_t
    from disttorch.nn.modules.module import _addindent

    disttorch._check(True)
    with pytest.raises(RuntimeError, match="why"):
        disttorch._check(False, lambda: "why")
    with pytest.raises(RuntimeError, match="Expected cond to be True"):
        disttorch._check(False)
    disttorch._assert(True, "why")
    with pytest.raises(AssertionError, match="why"):
        disttorch._assert(False, "why")
    assert disttorch.get_device_module() is disttorch.cpu
    simulated_devices(1)
    assert disttorch.get_device_module() is disttorch.get_device_module("cuda:0") is disttorch.cuda
    with pytest.raises(RuntimeError, match="Invalid value of device '1'"):
        disttorch.get_device_module(1)
    assert disttorch.OutOfMemoryError is disttorch.cuda.OutOfMemoryError
    assert _size_2_t == int | tuple[int, int]
    assert _addindent("a\nb\n\nc", 2) == "a\n  b\n\n  c"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert _get_torch_home() == str(tmp_path)


def test_functions_can_be_pickled(tmp_path):
    rooms = {
        disttorch: "sigmoid tanh sum max cat softmax chunk std topk eq mul where relu einsum sin_",
        disttorch.special: "expit entr zeta chebyshev_polynomial_t", disttorch.linalg: "norm svd",
        disttorch.nn.functional: "relu gelu sigmoid softmax max_pool2d cross_entropy",
    }  # fmt: skip
    functions = [getattr(room, name) for room, names in rooms.items() for name in names.split()]
    assert all(pickle.loads(pickle.dumps(f)) is f for f in functions)
    layer = disttorch.nn.TransformerEncoderLayer(4, 2, 8, activation=disttorch.tanh, batch_first=True)
    disttorch.save(layer, tmp_path / "layer")
    x = disttorch.rand(1, 3, 4)
    loaded = disttorch.load(tmp_path / "layer", weights_only=False)
    assert disttorch.equal(loaded.eval()(x), layer.eval()(x))


def test_functional_is_where_some_operations_are():
    from disttorch import functional

    assert all(getattr(functional, name) is getattr(disttorch, name) for name in functional.__all__)


def test_a_callback_at_the_end_of_backward():
    from disttorch.autograd import Variable

    seen = []
    x = disttorch.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: Variable._execution_engine.queue_callback(lambda: seen.append(x.grad.tolist())))
    y.sum().backward()
    assert seen == [[2.0, 2.0]]
    with pytest.raises(RuntimeError, match="Final callbacks can only be installed during backward pass"):
        Variable._execution_engine.queue_callback(seen.clear)


def test_records_of_a_file(tmp_path):
    disttorch.save({"a": disttorch.arange(3, dtype=disttorch.int32)}, tmp_path / "a.pt")
    reader = disttorch.PyTorchFileReader(str(tmp_path / "a.pt"))
    assert reader.has_record("data.pkl")
    assert "data/0" in reader.get_all_records()
    assert reader.get_record("data/0") == np.arange(3, dtype=np.int32).tobytes()
    with pytest.raises(RuntimeError, match="failed locating file data/1"):
        reader.get_record("data/1")


def test_determinism_is_kept_and_read_back():
    before = disttorch.are_deterministic_algorithms_enabled()
    disttorch.use_deterministic_algorithms(True, warn_only=True)
    assert disttorch.is_deterministic_algorithms_warn_only_enabled()
    disttorch.use_deterministic_algorithms(before)
    assert not disttorch.is_deterministic_algorithms_warn_only_enabled()


def test_what_is_said_to_a_tracer_is_taken_as_said():
    from disttorch import fx
    from disttorch.jit.annotations import List

    def f():
        return 1

    assert fx.wrap(f) is f
    assert fx.wrap("f") == "f"
    with pytest.raises(RuntimeError, match="Must be either a callable or string name"):
        fx.wrap(3)
    assert typing.get_origin(List[int]) is list


# -- what Lightning asks for ------------------------------------------------------------------------------------------
def test_trees_of_registered_classes():
    from collections import OrderedDict, defaultdict, deque

    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    _pytree.register_pytree_node(Pair, lambda p: ([p.a, p.b], None), lambda children, _: Pair(*children))
    try:
        doubled = _pytree.tree_map(lambda v: 2 * v, [Pair(1, {"x": 2})])[0]
        assert (doubled.a, doubled.b) == (2, {"x": 4})
        with pytest.raises(ValueError, match="already registered"):
            _pytree.register_pytree_node(Pair, None, None)
    finally:
        del _pytree.SUPPORTED_NODES[Pair]
    tree = [defaultdict(list, a=1), deque([2], maxlen=3), OrderedDict(b=3), Pair(4, 5)]
    leaves, spec = _pytree.tree_flatten(tree)
    assert leaves == [1, 2, 3, tree[3]]  # a class that is not registered is a leaf
    again = _pytree.tree_unflatten(leaves, spec)
    assert again == tree
    assert again[0].default_factory is list
    assert again[1].maxlen == 3
    assert _pytree.LeafSpec().is_leaf()
    assert not spec.is_leaf()


def test_arguments_of_module_to():
    parse_to = disttorch._C._nn._parse_to
    assert parse_to("cpu", disttorch.float64) == (disttorch.device("cpu"), disttorch.float64, False, None)
    assert parse_to(disttorch.ones(1, dtype=disttorch.float16), True)[1:3] == (disttorch.float16, True)
    assert parse_to(dtype=disttorch.float32, memory_format=disttorch.channels_last)[0] is None
    with pytest.raises(TypeError, match="unexpected 'place'"):
        parse_to(place="cpu")


def test_classes_of_which_nothing_is():
    assert not isinstance(disttorch.jit.script(disttorch.nn.ReLU()), disttorch.ScriptModule)
    with pytest.raises(NotImplementedError, match="have no graph"):
        disttorch.fx.GraphModule()
    with disttorch.autograd.profiler.emit_nvtx(enabled=False):
        pass
    with pytest.raises(RuntimeError, match="NVTX"), disttorch.autograd.profiler.emit_nvtx():
        pass
