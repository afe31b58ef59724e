"""Replays PyTorch's own module_db: printed form, state_dict, initial values, forward, gradients and errors of every
layer.
"""

import dataclasses
import warnings

import pytest

import disttorch
import disttorch.random

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")
pytestmark = pytest.mark.oracle

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

    from oracle.replay import TOLERANCE, Converter, difference, gradients_differ

SEED = 1234
DTYPES = (torch.float32, torch.float64)
NOT_OURS = ("quantized", "Lazy")


def entries():
    for info in module_db:
        if not any(part in info.name for part in NOT_OURS):
            for dtype in DTYPES:
                if dtype in info.dtypes:
                    yield pytest.param(info, dtype, id=f"{info.name}-{str(dtype).removeprefix('torch.')}")


class Builder(Converter):
    """Converts modules, their options, and functions of torch.nn.functional too, by their names."""

    def __call__(self, value):
        if isinstance(value, torch.nn.LinearCrossEntropyOptions):
            fields = {f.name: self(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return disttorch.nn.LinearCrossEntropyOptions(**fields)
        if isinstance(value, torch.nn.Module):
            return build_like(value)
        name = getattr(value, "__name__", None)
        if callable(value) and name is not None and hasattr(disttorch.nn.functional, name):
            return getattr(disttorch.nn.functional, name)
        return super().__call__(value)


def build_like(module):
    """Our module of the same class with the same settings and values, for modules that are arguments."""
    ours = getattr(disttorch.nn, type(module).__name__)
    if isinstance(module, torch.nn.TransformerEncoderLayer | torch.nn.TransformerDecoderLayer):
        made = ours(
            module.self_attn.embed_dim, module.self_attn.num_heads, module.linear1.out_features, module.dropout.p,
            module.activation.__name__, batch_first=module.self_attn.batch_first, norm_first=module.norm_first,
            bias=module.linear1.bias is not None,
        )  # fmt: skip
    else:
        made = ours()
    made.to(getattr(disttorch, str(next(module.parameters()).dtype).removeprefix("torch.")))
    made.load_state_dict({k: disttorch.from_numpy(v.numpy()) for k, v in module.state_dict().items()})
    return made.train(module.training)


def pair(info, case, dtype, training: bool):
    """PyTorch's module and ours from the same seed, checked to print and to begin alike."""
    build = Builder()
    name = info.module_cls.__name__
    given = case.constructor_input
    disttorch.random.manual_seed(SEED)
    ours = getattr(disttorch.nn, name)(*build(list(given.args)), **build(dict(given.kwargs)))
    torch.manual_seed(SEED)
    theirs = info.module_cls(*given.args, **given.kwargs)
    if not any(callable(a) for a in (*given.args, *given.kwargs.values())):
        assert repr(ours) == repr(theirs)
    mine, wanted = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(wanted)
    for key, value in wanted.items():
        assert difference(mine[key], value, f"initial {key}") is None
    ours.to(getattr(disttorch, str(dtype).removeprefix("torch."))).train(training)
    theirs.to(dtype).train(training)
    return ours, theirs


@pytest.mark.deadline(240)
@pytest.mark.parametrize(("info", "dtype"), list(entries()))
@pytest.mark.filterwarnings("ignore")
def test_like_pytorch(info, dtype, monkeypatch):
    monkeypatch.setitem(TOLERANCE, "float32", (1e-4, 1e-4))  # several operations one after another
    for training in (True, False) if info.train_and_eval_differ else (True,):
        torch.manual_seed(SEED)
        cases = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)
        for nr, case in enumerate(cases):
            given = case.constructor_input
            what = f"training={training}, case {nr} ({case.desc}), {given.args} {given.kwargs}"
            ours, theirs = pair(info, case, dtype, training)
            if case.forward_input is None:
                continue
            convert = Builder()
            args = convert(list(case.forward_input.args))
            kwargs = convert(dict(case.forward_input.kwargs))
            torch.manual_seed(SEED)
            wanted = theirs(*case.forward_input.args, **case.forward_input.kwargs)
            disttorch.random.manual_seed(SEED)
            found = ours(*args, **kwargs)
            assert difference(found, wanted, what) is None
            leaves = [p for p in convert.pairs.values() if isinstance(p[0], torch.Tensor)]
            leaves += list(zip(theirs.parameters(), ours.parameters(), strict=True))
            assert gradients_differ(found, wanted, leaves) is None, what
            for key, value in theirs.state_dict().items():
                assert difference(ours.state_dict()[key], value, f"{key} after {what}") is None


def error_entries():
    for info in module_db:
        if info.module_error_inputs_func is not None and not any(part in info.name for part in NOT_OURS):
            yield pytest.param(info, id=info.name)


@pytest.mark.parametrize("info", list(error_entries()))
@pytest.mark.filterwarnings("ignore")
def test_errors_like_pytorch(info):
    dtype = torch.float32
    for case in info.module_error_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=True):
        convert = Builder()
        given = case.module_error_input
        make = getattr(disttorch.nn, info.module_cls.__name__)
        args, kwargs = convert(list(given.constructor_input.args)), convert(dict(given.constructor_input.kwargs))
        if case.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(case.error_type, match=case.error_regex):
                make(*args, **kwargs)
        else:
            ours = make(*args, **kwargs)
            args, kwargs = convert(list(given.forward_input.args)), convert(dict(given.forward_input.kwargs))
            with pytest.raises(case.error_type, match=case.error_regex):
                ours(*args, **kwargs)
