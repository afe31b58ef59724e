"""PyTorch's format from before version 1.6: read without running code, and without believing what it claims."""

import contextlib
import io
import pickle
import struct

import numpy as np
import pytest

import disttorch
from disttorch.serialization.legacy import MAGIC_NUMBER


class Rebuild:
    """Pickles as a call of torch._utils._rebuild_tensor_v2 on a storage."""

    def __init__(self, key, count, size, stride, offset=0, part=None, name="_rebuild_tensor_v2"):
        self.key, self.count, self.size, self.stride, self.offset = key, count, size, stride, offset
        self.part, self.name = part, name


class Named:
    """A global of a file."""

    def __init__(self, module, name):
        self.module, self.name = module, name


def pickled(obj) -> bytes:
    """`obj` with its `Rebuild`s, in opcodes of protocol 2."""
    out = [b"\x80\x02"]

    def put(x):
        if isinstance(x, Named):
            out.append(f"c{x.module}\n{x.name}\n".encode())
        elif isinstance(x, Rebuild):
            put(Named("torch._utils", x.name))
            reference = ("storage", Named("torch", "FloatStorage"), x.key, "cpu", x.count, x.part)
            out.append(b"(")
            put(reference)
            out.append(b"Q")
            rest = [x.offset, x.size, x.stride]
            for v in rest if x.name == "_rebuild_tensor" else [*rest, False, None]:
                put(v)
            out.append(b"tR")
        elif isinstance(x, tuple | list | dict):
            out.append(b"(" if isinstance(x, tuple) else b"](" if isinstance(x, list) else b"}(")
            for v in x if not isinstance(x, dict) else [v for pair in x.items() for v in pair]:
                put(v)
            out.append(b"t" if isinstance(x, tuple) else b"e" if isinstance(x, list) else b"u")
        else:
            out.append(pickle.dumps(x, 2)[2:-1])

    put(obj)
    return b"".join(out) + b"."


def legacy_file(value, storages: dict, magic=MAGIC_NUMBER, version=1001, system=None, keys=None) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True} if system is None else system
    parts = [pickle.dumps(magic, 2), pickle.dumps(version, 2), pickle.dumps(system, 2)]
    parts += [value if isinstance(value, bytes) else pickled(value)]
    parts += [pickle.dumps(list(storages) if keys is None else keys, 2)]
    for elements in storages.values():
        parts += [struct.pack("<q", len(elements)), np.asarray(elements, np.float32).tobytes()]
    return b"".join(parts)


def load(data: bytes, **kwargs):
    return disttorch.load(io.BytesIO(data), **kwargs)


MATRIX = Rebuild("a", 6, (2, 3), (3, 1))


@pytest.mark.parametrize("weights_only", [True, False])
def test_tensors_that_share_memory(weights_only):
    row = Rebuild("a", 6, (3,), (1,), offset=3, name="_rebuild_tensor")
    part = Rebuild("a", 6, (2,), (1,), part=("view", 4, 2))
    other = Rebuild("b", 1, (), ())
    data = legacy_file({"m": MATRIX, "row": row, "part": part, "b": [other, 3]}, {"b": [7], "a": range(6)})
    found = load(data, weights_only=weights_only)
    assert found["m"].tolist() == [[0, 1, 2], [3, 4, 5]]
    found["m"][1, 2] = 9
    assert found["row"].tolist() == [3, 4, 9]
    assert found["part"].tolist() == [4, 9]
    assert found["b"][0].item() == 7
    assert found["b"][1] == 3


def test_several_in_a_file():
    file = io.BytesIO(legacy_file(1, {}) + legacy_file({"m": MATRIX}, {"a": range(6)}))
    assert disttorch.load(file) == 1
    assert disttorch.load(file)["m"].sum().item() == 15
    with pytest.raises(EOFError):
        disttorch.load(file)


def test_on_another_device():
    disttorch.cuda.simulate(2)
    try:
        found = load(legacy_file(MATRIX, {"a": range(6)}), map_location="cuda:1")
        assert str(found.device) == "cuda:1"
        assert found.sum().item() == 15
    finally:
        disttorch.cuda.simulate(None)


RUNS_CODE = b"\x80\x02cos\nsystem\n(U\x0becho hackedtR."
HOSTILE = {
    "no magic": (pickle.dumps({"a": 1}, 2), "Invalid magic number; corrupt file?"),
    "a version": (legacy_file(1, {}, version=1002), "Invalid protocol version: 1002"),
    "big-endian": (legacy_file(1, {}, system={"little_endian": False}), "big-endian"),
    "more than the file holds": (
        legacy_file(Rebuild("a", 1 << 50, (2,), (1,)), {"a": [1, 2]}),
        "storage a claims 1125899906842624 elements, more than the file can hold",
    ),
    "a negative size": (legacy_file(Rebuild("a", -1, (0,), (1,)), {"a": []}), "a storage of an unknown type"),
    "beyond its storage": (legacy_file(Rebuild("a", 2, (3,), (1,)), {"a": [1, 2]}), "does not fit its storage"),
    "a view beyond it": (
        legacy_file(Rebuild("a", 2, (1,), (1,), part=("v", 1, 9)), {"a": [1, 2]}),
        "elements 1 to 10 of a storage of 2",
    ),
    "another size": (legacy_file(Rebuild("a", 1, (1,), (1,)), {"a": [1, 2]}), "has 2 elements, 1 were announced"),
    "no storage": (legacy_file(MATRIX, {"a": range(6)}, keys=[]), "storages that it lists are not those"),
    "a storage twice": (legacy_file(MATRIX, {"a": range(6)}, keys=["a", "a"]), "storages that it lists are not those"),
    "keys that are none": (legacy_file(MATRIX, {"a": range(6)}, keys=[{}]), "storages that it lists are not those"),
    "a reference too early": (b"\x80\x02U\x01xQ." + legacy_file(1, {}), "a reference where none can be"),
    "an unknown reference": (legacy_file(b"\x80\x02U\x01xQ.", {}), "an unknown reference 'x'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_damaged(name):
    data, words = HOSTILE[name]
    with pytest.raises(RuntimeError, match="is damaged or not a checkpoint") as caught:
        load(data)
    assert words in str(caught.value)


def test_code_is_not_run():
    with pytest.raises(pickle.UnpicklingError, match=r"file holds os\.system, which is neither a tensor nor"):
        load(legacy_file(RUNS_CODE, {}))
    with pytest.raises(pickle.UnpicklingError, match=r"holds os\.system"):
        load(RUNS_CODE)  # in the place of the magic number
    module = b"\x80\x02(U\x06modulectorch.nn\nLinear\nU\x01aU\x01btQ."
    with pytest.raises(pickle.UnpicklingError, match=r"holds torch\.nn\.Linear"):
        load(legacy_file(module, {}))


def test_every_truncation_is_an_error():
    data = legacy_file({"m": MATRIX, "n": [1, "two", None]}, {"a": range(6)})
    for end in range(len(data)):
        with pytest.raises((RuntimeError, EOFError)):
            load(data[:end])
        if end:
            with pytest.raises(RuntimeError):
                load(data[:end], weights_only=False)


def test_every_changed_byte_is_an_error_or_harmless():
    data = legacy_file({"m": MATRIX}, {"a": range(6)})
    for at in range(len(data)):
        for change in (1, 128, 255):
            damaged = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
            with contextlib.suppress(RuntimeError, EOFError, pickle.UnpicklingError):
                load(damaged)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_files_that_pytorch_wrote():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    marked = torch.arange(12.0).reshape(3, 4)
    marked.tag = "mine"
    given = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "part": marked[1:], "turned": marked.T,
        "marked": marked, "none": torch.zeros(0, 3), "bool": torch.tensor([True]), "p": model[0].weight,
        "small": torch.ones(3, dtype=torch.bfloat16), "complex": torch.ones(2, dtype=torch.complex64),
    }  # fmt: skip
    for zipped in (False, True):
        file = io.BytesIO()
        torch.save(given, file, _use_new_zipfile_serialization=zipped)
        found = load(file.getvalue())
        assert str(found) == str(given)
        assert found["marked"].tag == "mine"
        assert isinstance(found["p"], disttorch.nn.Parameter)
        found["marked"][1, 0] = 100
        assert found["part"][0, 0] == found["turned"][0, 1] == 100
    file = io.BytesIO()
    torch.save(model, file, _use_new_zipfile_serialization=False)
    with pytest.raises(pickle.UnpicklingError, match=r"holds torch\.nn\.modules\.container\.Sequential"):
        load(file.getvalue())
    assert str(load(file.getvalue(), weights_only=False)) == str(model)
