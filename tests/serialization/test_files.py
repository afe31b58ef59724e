"""save and load: what goes in comes out, and nothing else is ever run or believed."""

import collections
import io
import os
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest

import disttorch
from disttorch import nn

DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128".split()


def through(value, **settings):
    file = io.BytesIO()
    disttorch.save(value, file)
    file.seek(0)
    return disttorch.load(file, **settings)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 2)])
def test_every_dtype_and_shape(name, shape):
    t = (disttorch.arange(int(np.prod(shape))).reshape(shape) % 2).to(getattr(disttorch, name))
    back = through(t)
    assert back.dtype is t.dtype
    assert back.shape == t.shape
    assert disttorch.equal(back, t)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.t(), lambda t: t[:, 1:], lambda t: t[::2], lambda t: t.unsqueeze(1).expand(4, 5, 6), lambda t: t[1],
        lambda t: t.flip(0), lambda t: t.view(2, 2, 6).permute(2, 0, 1), lambda t: t[:0],
    ],
)  # fmt: skip
def test_layouts(change):
    t = change(disttorch.arange(24.0).reshape(4, 6))
    back = through(t)
    assert disttorch.equal(back, t)
    assert back.stride() == t.stride()
    if t.numel():
        back.contiguous().add_(1)


def test_channels_last_stays_so():
    t = disttorch.randn(2, 3, 4, 5).contiguous(memory_format=disttorch.channels_last)
    back = through({"whole": t, "channel": t[:, 1]})
    assert back["whole"].is_contiguous(memory_format=disttorch.channels_last)
    assert disttorch.equal(back["whole"], t)
    assert disttorch.equal(back["channel"], t[:, 1])
    back["whole"].zero_()
    assert not back["channel"].any()


def test_views_still_share_their_memory():
    t = disttorch.arange(6.0)
    back = through([t, t[2:], t.view(2, 3)])
    back[0][2] = 42
    assert back[1][0] == 42
    assert back[2][0, 2] == 42


def test_loaded_views_have_one_storage():
    base = disttorch.arange(12.0).reshape(3, 4)
    views = [base.t(), base[1:, ::2]]
    for _ in range(2):  # saved again, they still have
        file = io.BytesIO()
        disttorch.save(views, file)
        file.seek(0)
        views = disttorch.load(file)
        assert views[1].storage_offset() == 4
        assert len({v.untyped_storage().data_ptr() for v in views}) == 1
    views[0].fill_(7)
    assert views[1].tolist() == [[7, 7], [7, 7]]


def test_the_same_tensor_is_the_same_afterwards():
    t = disttorch.ones(2)
    back = through([t, t])
    assert back[0] is back[1]


def test_containers():
    value = {
        "numbers": [1, -(2**70), 2.5, float("inf"), True, None, 1 + 2j],
        "text": ("", "ä\n𝄞", b"\x00\xff"),
        "more": {1, 2}, "frozen": frozenset({3}), "slice": slice(1, 2),
        "ordered": collections.OrderedDict(b=1, a=2), "counter": collections.Counter("aab"),
        "default": collections.defaultdict(list, x=[1]), "size": disttorch.Size([2, 3]), "dtype": disttorch.float16,
        "device": disttorch.device("cpu"), ("a", 1): {},
    }  # fmt: skip
    back = through(value)
    assert back == value
    assert list(back["ordered"]) == ["b", "a"]
    assert isinstance(back["size"], disttorch.Size)


def test_a_list_that_holds_itself():
    value = [1]
    value.append(value)
    back = through(value)
    assert back[1] is back


def test_parameters_and_gradients_flags():
    parameter = nn.Parameter(disttorch.ones(2), requires_grad=False)
    back = through(
        {"p": nn.Parameter(disttorch.ones(3)), "q": parameter, "leaf": disttorch.ones(1, requires_grad=True)}
    )
    assert isinstance(back["p"], nn.Parameter)
    assert [back[k].requires_grad for k in "pq"] == [True, False]
    assert back["leaf"].requires_grad
    assert back["leaf"].is_leaf


def test_a_training_state():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    optimizer = disttorch.optim.Adam(model.parameters(), lr=0.1)
    model(disttorch.randn(3, 1, 4, 4)).sum().backward()
    optimizer.step()
    back = through({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3})
    other = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    assert str(other.load_state_dict(back["model"])) == "<All keys matched successfully>"
    assert back["model"]._metadata == model.state_dict()._metadata
    again = disttorch.optim.Adam(other.parameters(), lr=0.5)
    again.load_state_dict(back["optimizer"])
    for m in (model, other):
        m.zero_grad()
        m(disttorch.ones(1, 1, 4, 4).expand(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    again.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert disttorch.equal(p, q)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.tied = self.layer.weight

    def forward(self, x):
        return self.layer(x)


def test_a_whole_module_is_refused_unless_asked_for(monkeypatch):
    import sys
    import types

    module = types.ModuleType("its_classes")
    module.Net, Net.__module__ = Net, "its_classes"
    monkeypatch.setitem(sys.modules, "its_classes", module)
    model = Net()
    with pytest.raises(pickle.UnpicklingError, match=r"its_classes\.Net.*weights_only=False"):
        through(model)
    back = through(model, weights_only=False)
    assert isinstance(back, Net)
    assert back.tied is back.layer.weight
    x = disttorch.randn(4, 2)
    assert disttorch.equal(back(x), model(x))


# -- where tensors go -------------------------------------------------------------------------------------------------
def test_locations(simulated_devices):
    simulated_devices(2)
    values = {"a": disttorch.ones(2, device="cuda:1"), "b": disttorch.zeros(1)}
    devices = lambda found: [str(found[k].device) for k in "ab"]  # noqa: E731
    assert devices(through(values)) == ["cuda:1", "cpu"]
    assert devices(through(values, map_location="cpu")) == ["cpu", "cpu"]
    assert devices(through(values, map_location=disttorch.device("cuda:0"))) == ["cuda:0", "cuda:0"]
    assert devices(through(values, map_location={"cuda:1": "cuda:0"})) == ["cuda:0", "cpu"]
    assert devices(through(values, map_location=lambda storage, location: storage)) == ["cpu", "cpu"]
    assert devices(through(values, map_location=lambda storage, location: None)) == ["cuda:1", "cpu"]
    assert devices(through(values, map_location=lambda storage, location: storage.cuda(0))) == ["cuda:0", "cuda:0"]


def test_a_missing_device_is_explained(simulated_devices):
    simulated_devices(1)
    file = io.BytesIO()
    disttorch.save(disttorch.ones(1, device="cuda"), file)
    simulated_devices(0)
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"map_location=torch.device"):
        disttorch.load(file)


# -- files ------------------------------------------------------------------------------------------------------------
def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    disttorch.save(disttorch.ones(2), path)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        disttorch.save([disttorch.zeros(2), lambda: None], path)
    assert disttorch.load(path).tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["model.pt"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    disttorch.save(disttorch.ones(2), path)
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        disttorch.save(disttorch.zeros(2), path)
    assert disttorch.load(str(path)).tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["model.pt"]


def test_the_same_values_give_the_same_bytes():
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        disttorch.save({"a": disttorch.ones(3)}, file)
    assert files[0].getvalue() == files[1].getvalue()


def test_wrong_arguments(tmp_path):
    with pytest.raises(AttributeError, match="'write' attribute"):
        disttorch.save(1, 5)
    with pytest.raises(AttributeError, match="'read' and 'seek'"):
        disttorch.load(5)
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        disttorch.save(1, tmp_path / "no" / "x.pt")
    with pytest.raises(FileNotFoundError):
        disttorch.load(tmp_path / "x.pt")


# -- damaged and hostile files ----------------------------------------------------------------------------------------
def saved() -> bytes:
    file = io.BytesIO()
    disttorch.save({"w": disttorch.arange(50.0), "n": [1, "x", disttorch.ones(3, dtype=disttorch.int8)]}, file)
    return file.getvalue()


def test_empty_and_truncated_files():
    with pytest.raises(EOFError, match="is empty"):
        disttorch.load(io.BytesIO())
    whole = saved()
    for size in [1, 3, 10, 100, len(whole) // 2, len(whole) - 1]:
        with pytest.raises(RuntimeError, match="damaged or not a checkpoint"):
            disttorch.load(io.BytesIO(whole[:size]))


def test_other_files():
    for data in [b"hello world, not a checkpoint", b"\x1f\x8b" + bytes(100), bytes(1000)]:
        with pytest.raises(RuntimeError, match="damaged or not a checkpoint"):
            disttorch.load(io.BytesIO(data))
    with pytest.raises(RuntimeError, match="Invalid magic number"):
        disttorch.load(io.BytesIO(pickle.dumps(1, 2)))
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    empty.seek(0)
    with pytest.raises(RuntimeError, match=r"no data.pkl"):
        disttorch.load(empty)


def test_flipped_bytes_never_crash():
    """A byte changed: the same value, another one, or one of three errors; never anything else."""
    whole, draw = saved(), random.Random(1)
    outcomes = collections.Counter()
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(draw.choice([1, 1, 4])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            disttorch.load(io.BytesIO(bytes(data)))
            outcomes["read"] += 1
        except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
            outcomes[type(error).__name__] += 1
    assert outcomes["RuntimeError"] > 100
    assert outcomes["read"] > 100


def archive(pickled: bytes, storages: dict | None = None) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a/data.pkl", pickled)
        for key, data in (storages or {}).items():
            made.writestr(f"a/data/{key}", data)
    file.seek(0)
    return file


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/disttorch-was-here",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_code_is_never_run(protocol):
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.system|os\.system|nt\.system"):
        disttorch.load(archive(pickle.dumps({"x": Evil()}, protocol)))
    assert not os.path.exists("/tmp/disttorch-was-here")


@pytest.mark.parametrize(
    "name",
    [
        "builtins eval",
        "builtins getattr",
        "torch load",
        "disttorch load",
        "numpy array",
        "torch nn",
        "torch Tensor.backward",
    ],
)
def test_only_names_of_values_are_known(name):
    module, _, attribute = name.partition(" ")
    code = b"\x80\x02c" + module.encode() + b"\n" + attribute.encode() + b"\n."
    with pytest.raises(pickle.UnpicklingError, match="neither a tensor nor a plain container"):
        disttorch.load(archive(code))


def claim(count: int, size: bytes, stride: bytes) -> bytes:
    """A pickle of one tensor over storage 0, which is said to have `count` elements."""
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu\x8a\x08"
        + struct.pack("<q", count)
    )
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"tQK\x00"
        + size
        + stride
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )


def number(n: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", n)


def test_a_fair_claim_is_believed():
    t = disttorch.load(
        archive(claim(4, number(4) + b"\x85", number(1) + b"\x85"), {"0": np.arange(4, dtype="f4").tobytes()})
    )
    assert t.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("count", "size", "stride"),
    [
        (1 << 60, 1 << 60, 1), (4, 1 << 60, 1), (4, 4, 1 << 61), (4, 5, 1), (4, -1, 1), (4, 2, -1), (-4, 4, 1),
    ],
)  # fmt: skip
def test_claims_are_checked_before_memory_is_taken(count, size, stride):
    file = archive(claim(count, number(size) + b"\x85", number(stride) + b"\x85"), {"0": bytes(16)})
    with pytest.raises(RuntimeError, match="damaged"):
        disttorch.load(file)


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02X\xff\xff\xff\xffabc.",  # a string of 4 GB
        b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # bytes beyond measure
        b"\x80\x02\x8b\xff\xff\xff\x7fa.",  # a number of 2 GB
        b"\x80\x02]r\xff\xff\xff\xff.",  # the memo's last place
        b"\x80\x02h\x05.", b"\x80\x02t.", b"\x80\x02R.", b"\x80\x02", b"\x80\x020.", b"\x80\x02e.", b"\x80\x02Nb.",
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\xff\xff\xff\xff\xff\x00\x85R.",  # bytearray(10^12)
        b"\x80\x02" + b"(" * 5000 + b".", b"\x80\x02" + b"\x85" * 50 + b".",
    ],
)  # fmt: skip
def test_malformed_pickles(pickled):
    with pytest.raises((RuntimeError, pickle.UnpicklingError), match=r"damaged|holds"):
        disttorch.load(archive(pickled))


def test_deep_nesting_is_read():
    value = []
    for _ in range(3000):
        value = [value]
    pickled = b"\x80\x02]" + b"]" * 3000 + b"a" * 3000 + b"."
    back = disttorch.load(archive(pickled))
    depth = 0
    while back:
        back, depth = back[0], depth + 1
    assert depth == 3000


def test_a_compressed_bomb_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/data.pkl", bytes(10_000_000))
    file.seek(0)
    with pytest.raises(RuntimeError, match="is compressed"):
        disttorch.load(file)


def test_a_number_in_memory_of_another_type(tmp_path):
    """As a counter in shared memory is, or in a message."""
    shared = np.zeros(16, np.uint8)
    count = disttorch.from_numpy(shared[8:].view(np.int64).reshape(()))
    count += 7
    disttorch.save({"count": count}, tmp_path / "f.pt")
    found = disttorch.load(tmp_path / "f.pt")["count"]
    assert found.shape == ()
    assert found.item() == 7
