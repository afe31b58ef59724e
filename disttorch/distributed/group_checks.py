"""What the methods of a process group are given, checked, with the texts of PyTorch's gloo: RuntimeError for all."""

from collections.abc import Sequence
from typing import Any

from ..autograd.variable import Tensor


def fail(what: str, text: str) -> None:
    raise RuntimeError(f"ProcessGroupGloo::{what}: {text}")


def check_root(what: str, rank: int, size: int, tensors: Any = (None,), tensor: int = 0) -> None:
    """rank: of the group; tensor: which of this rank's tensors is the root's."""
    if not 0 <= rank < size:
        fail(what, f"invalid root rank: {rank}")
    if isinstance(tensors, list | tuple) and not 0 <= tensor < len(tensors):
        fail(what, f"invalid root tensor: {tensor}")


def check_alike(what: str, tensors: Sequence[Tensor]) -> None:
    """Tensors of one dtype, device and shape, at least one."""
    if not tensors:
        fail(what, "requires non-empty tensor list")
    first = tensors[0]
    for t in tensors:
        check_like(what, t, first, 0)


def check_like(what: str, t: Tensor, first: Tensor, index: int) -> None:
    """A tensor of the dtype, device and shape of `first`."""
    if (t.dtype, t.device.type) != (first.dtype, first.device.type):
        fail(
            what,
            f"invalid tensor type at index {index} (expected {first.dtype} on {first.device.type}, got {t.dtype} on "
            f"{t.device.type})",
        )
    if t.shape != first.shape:
        expected, got = (", ".join(map(str, shape)) for shape in (first.shape, t.shape))
        fail(what, f"invalid tensor size at index {index} (expected ({expected}), got ({got}))")


def only(what: str, tensors: Any, name: str = "") -> Tensor:
    """The only tensor of a list (or a tensor by itself): a rank has one device here. name: "input" or "output"."""
    if not isinstance(tensors, list | tuple):
        return tensors
    if not name:
        check_alike(what, tensors)
    if len(tensors) != 1:
        kind = f"{name} tensor" if name else "tensor"
        fail(what, f"requires a single-element {kind} list, got {len(tensors)} tensors: a rank has one device here")
    return tensors[0]


def check_parts(what: str, lists: Any, tensor: Tensor, size: int, name: str) -> list[Tensor]:
    """The `size` tensors alike that a root has, given as a list that holds their list. name: "input" or "output"."""
    parts = lists[0] if lists and isinstance(lists[0], list | tuple) else lists
    if not parts or (parts is not lists and len(lists) != 1):
        fail(what, f"requires a single-element {name} list containing a list with {size} tensors.")
    if len(parts) != size:
        fail(
            what,
            f"Incorrect {name} list size {len(parts)}. {name.capitalize()} list size should be {size}, same as size of "
            "the process group.",
        )
    for i, part in enumerate(parts):
        check_like(what, part, tensor, i)
    return list(parts)


def check_absent(what: str, lists: Any, name: str) -> None:
    """What a rank that is not the root has none of."""
    if lists:
        fail(what, f"requires empty {name} on non-root")


def check_gathered(what: str, output_lists: Sequence, inputs: Sequence[Tensor], size: int) -> None:
    """For each of `size` ranks a list of tensors like `inputs`."""
    if len(output_lists) != size:
        fail(what, f"output lists should be equal to world size {size}, got {len(output_lists)}")
    for outputs in output_lists:
        if len(outputs) != len(inputs):
            fail(what, f"invalid output size: (expected length {len(inputs)}, got {len(outputs)})")
        for i, (output, mine) in enumerate(zip(outputs, inputs, strict=True)):
            if output.shape != mine.shape:
                fail(what, f"invalid size of output tensor at index {i} (expected {mine.shape}, got {output.shape})")
            check_like(what, output, mine, i)
