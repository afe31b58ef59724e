"""Short programs, statement by statement, in PyTorch and in disttorch: what each gives, or raises, or warns of.

A program is a text; in it `T` is the library, `F` its `nn.functional`, `nn` its modules, `np` NumPy.
"""

import ast
import re
import warnings

import numpy as np
import torch

import disttorch

TENSORS = torch.Tensor | disttorch.Tensor


def shown(value, strides: bool = False) -> str:
    """A value in words that do not depend on the library; floats to four digits."""
    if isinstance(value, TENSORS):
        return _shown_tensor(value, strides)
    if isinstance(value, tuple | list):
        return f"({', '.join(shown(v, strides) for v in value)})"
    if isinstance(value, dict):
        return f"{type(value).__name__}({', '.join(f'{k!r}: {shown(v, strides)}' for k, v in value.items())})"
    if isinstance(value, float):
        return f"{value:.6g}"
    return _neutral(repr(value))


def _shown_tensor(t, strides: bool) -> str:
    words = [str(tuple(t.shape)), str(t.dtype).split(".")[-1], str(t.device)]
    if strides:
        words.append(f"strides {tuple(t.stride())} {t.is_contiguous()}")
    if t.requires_grad:
        words.append("leaf" if t.grad_fn is None else type(t.grad_fn).__name__)
    if t.device.type == "cpu":
        values = t.detach().resolve_conj()
        array = (values.float() if values.dtype in (torch.bfloat16, disttorch.bfloat16) else values).numpy()
        words.append(" ".join(np.array2string(array + 0, precision=4, suppress_small=True, threshold=40).split()))
    return f"tensor({', '.join(words)})"


def _neutral(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text.replace("disttorch", "torch"))


def told(program: str, library, strides: bool = False) -> list[tuple[str, list[str]]]:
    """Of each statement its text and what came of it."""
    names = {"T": library, "F": library.nn.functional, "nn": library.nn, "np": np}
    library.manual_seed(0)
    story = []
    for node in ast.parse(program).body:
        words: list[str] = []
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                if isinstance(node, ast.Expr):
                    words.append(shown(eval(compile(ast.Expression(node.value), "program", "eval"), names), strides))
                else:
                    exec(compile(ast.Module([node], []), "program", "exec"), names)
            except Exception as e:
                words.append(f"{type(e).__name__}: {_neutral(str(e)).partition('Exception raised from')[0].rstrip()}")
        words += [f"{w.category.__name__}: {_neutral(str(w.message)).partition(' (Triggered')[0]}" for w in warned]
        story.append((ast.unparse(node), words))
    return story


def assert_same(program: str, strides: bool = False) -> None:
    """Every statement comes out alike."""
    for ours, theirs in zip(told(program, disttorch, strides), told(program, torch, strides), strict=True):
        assert ours == theirs, f"\nours   {ours}\ntheirs {theirs}"
