"""Sequences of different lengths: padded to one tensor, or packed step by step.

Letters: N sequences, L the longest one's length, * any further dimensions. A packed sequence holds the first steps of
all sequences, then the second steps of those that have one, and so on; the longest sequence comes first.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ... import dtypes
from ...autograd.variable import Tensor
from ...devices import CPU
from ...ops import arange, as_tensor, cat, empty_like
from ...ops.pointwise import broadcast_error


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


def _same(method: str):
    def convert(self, *args, **kwargs):
        return self._with(getattr(self.data, method)(*args, **kwargs))

    convert.__name__ = method
    convert.__doc__ = f"The sequences with `data.{method}()`."
    return convert


class PackedSequence(_Fields):
    """What `pack_padded_sequence` and `pack_sequence` return, and recurrent networks take and return.

    data (sum of lengths, *), batch_sizes (L) on the CPU: how many sequences have a step t; sorted_indices and
    unsorted_indices (N), or None: the permutation that put the longest first, and back.
    """

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            data, batch_sizes = data
        elif batch_sizes.device is not CPU:
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequences in "
                "nn.utils.rnn. https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Tensor):
        """The sequences with other data; their permutations follow to its device."""
        if data is self.data:
            return self
        moved = [None if t is None else t.to(data.device) for t in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(data, self.batch_sizes, *moved)

    to, cuda, cpu, pin_memory = _same("to"), _same("cuda"), _same("cpu"), _same("pin_memory")
    double, float, half, long = _same("double"), _same("float"), _same("half"), _same("long")
    int, short, char, byte = _same("int"), _same("short"), _same("char"), _same("byte")

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another (N)."""
    if permutation is None:
        return None
    made = empty_like(permutation)
    made[permutation] = arange(permutation.numel(), device=permutation.device)
    return made


def _present(lengths: Tensor, longest: int, device) -> Tensor:
    """(L, N): whether sequence n has a step t."""
    return (arange(longest).unsqueeze(1) < lengths.unsqueeze(0)).to(device)


def pack_padded_sequence(
    input: Tensor, lengths, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences (L, N, *), or (N, L, *) with `batch_first`, of `lengths` (a list, or a CPU tensor (N)).

    enforce_sorted: the longest must come first; otherwise they are sorted here. RuntimeError for lengths that do not
    fit.
    """
    if not isinstance(lengths, Tensor):
        lengths = as_tensor(lengths, dtype=dtypes.int64, device=CPU)
    if lengths.ndim != 1 or lengths.device is not CPU:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.ndim}D {lengths.device.type} "
            f"{dtypes.SCALAR_NAMES[lengths.dtype]} tensor"
        )
    lengths = lengths.to(dtypes.int64)
    steps = input.transpose(0, 1) if batch_first else input
    if len(lengths) != steps.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} (batch_size={steps.shape[1]})"
        )
    if (lengths <= 0).any():
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    order = None
    if not enforce_sorted:
        lengths, order = lengths.sort(descending=True)
        order = order.to(input.device)
        steps = steps.index_select(1, order)
    elif (lengths[:-1] < lengths[1:]).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    longest = int(lengths[0])
    if longest > steps.shape[0]:
        raise RuntimeError(
            f"Expected the longest length ({longest}) to be at most the padded length ({steps.shape[0]}) of the input"
        )
    present = _present(lengths, longest, input.device)
    return PackedSequence(steps[:longest][present], present.sum(1).cpu(), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """-> (padded sequences (L, N, *) or (N, L, *), their lengths (N)), in the order before packing.

    total_length: pad to this length; ValueError if it is less than the longest one's.
    """
    data, sizes, _, back = sequence
    longest = len(sizes)
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    n = int(sizes[0])
    present = arange(n).unsqueeze(0) < sizes.unsqueeze(1)  # (L, N)
    padded = data.new_full((total_length or longest, n, *data.shape[1:]), padding_value)
    padded[:longest][present.to(data.device)] = data
    lengths = present.sum(0)
    if back is not None:
        padded, lengths = padded.index_select(1, back), lengths[back.cpu()]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(
    sequences, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Tensors (length, *) as one (L, N, *), or (N, L, *) with `batch_first`, padded on the "right" or the "left"."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}")
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    first = sequences[0]
    for s in sequences:
        if error := broadcast_error((1, *first.shape[1:]), (1, *s.shape[1:])):
            raise error
    lengths = as_tensor([s.shape[0] for s in sequences])
    longest = int(lengths.max())
    present = _present(lengths, longest, first.device).transpose(0, 1)  # (N, L)
    if padding_side == "left":
        present = present.flip(1)
    padded = first.new_full((len(sequences), longest, *first.shape[1:]), padding_value)
    padded[present] = cat(sequences)
    return padded if batch_first else padded.transpose(0, 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences (length, *) of a padded tensor, without the padding on the right."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack tensors (length, *)."""
    lengths = as_tensor([s.shape[0] for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The tensors (length, *) of a packed sequence."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences, batch_first=True), batch_first=True)
