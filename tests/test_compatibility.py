"""The names that programs use: they are there, and take PyTorch's parameters."""

import importlib.util
import inspect
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent / "scripts" / "compatibility.py"
spec = importlib.util.spec_from_file_location("compatibility", PATH)
compatibility = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compatibility)

UNNAMED = {  # given by position, or settings of PyTorch's own communication
    "self", "key", "orig_func", "bucket_cap_mb_list", "batched_grad_copy", "forward_sync_buffers",
}  # fmt: skip
CORE = [(home, name) for home, names in compatibility.read_core().items() for name in names]


def test_the_list_is_whole():
    assert len(CORE) > 400
    assert ("torch.nn", "LSTM") in CORE


@pytest.mark.parametrize(("home", "name"), CORE, ids=lambda v: v)
def test_the_name_is_there(home, name):
    assert compatibility.has(compatibility.find(home, "disttorch"), name)


def parameters(thing):
    """The names of its parameters; None where Python cannot tell, or they are only *args."""
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return None
    names = [p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return names if names and names != ["self"] else None


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_parameters_have_the_names_of_pytorch():
    pytest.importorskip("torch")
    wrong, compared = [], 0
    for home, name in CORE:
        theirs = parameters(getattr(compatibility.find(home, "torch"), name, None))
        ours = getattr(compatibility.find(home, "disttorch"), name, None)
        mine = parameters(ours)
        if theirs is None or mine is None:
            continue
        compared += 1
        open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(ours).parameters.values())
        absent = [p for p in theirs if p not in [*mine, *UNNAMED] and not p.startswith("_")]
        if absent and not open_ended:
            wrong.append(f"{home}.{name}: takes no {', '.join(absent)}")
    assert compared > 80
    assert not wrong, "\n".join(wrong)
