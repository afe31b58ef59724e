"""Every public function that PyTorch gives a list to and is refused: refused here too, as a TypeError."""

import pytest

torch = pytest.importorskip("torch")

import disttorch  # noqa: E402

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

LIST, SQUARE = [1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]
ARGUMENTS = [(LIST,), (LIST, 1), (LIST, LIST), (SQUARE, 0, 1), (LIST, LIST, LIST)]
# sparse tensors are dense here; linspace makes tensors of numbers; chunk and its kin are refused for another reason
OTHERS = {"sparse_coo_tensor", "spmm", "linspace", "logspace", "chunk", "unsafe_chunk", "segment_reduce"}


def refused(function, args) -> str | None:
    try:
        function(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("room", ["", "nn.functional", "linalg", "special", "fft"])
def test_lists_in_tensors_places(room):
    theirs, ours = torch, disttorch
    for part in room.split(".") if room else ():
        theirs, ours = getattr(theirs, part), getattr(ours, part)
    compared, missing = 0, {}
    for name in sorted(set(dir(theirs)) & set(dir(ours)) - OTHERS):
        function = getattr(theirs, name)
        if not getattr(getattr(ours, name), "__module__", "").startswith(("disttorch.ops", "disttorch.fft")):
            continue
        for args in ARGUMENTS:
            wanted = refused(function, args) or ""
            if "must be Tensor" in wanted or "expected Tensor" in wanted:
                compared += 1
                got = refused(getattr(ours, name), args)
                if got is None or not got.startswith("TypeError"):
                    missing[name, len(args)] = got
    assert compared > 20
    assert not missing
