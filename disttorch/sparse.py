"""torch.sparse: tensors here are dense. What programs build sparsely is built densely, with the same values.

`sparse_coo_tensor` and `sparse_csr_tensor` give dense tensors, `to_sparse` the tensor itself, `mm` is a dense product.
"""

from typing import Any

from . import ops
from .autograd.variable import Tensor


def _tensor(value: Any, dtype: Any = None) -> Tensor:
    return value if isinstance(value, Tensor) and dtype is None else ops.as_tensor(value, dtype=dtype)


def sparse_coo_tensor(
    indices: Any = None, values: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, check_invariants: Any = None, is_coalesced: Any = None,
) -> Tensor:  # fmt: skip
    """A dense tensor with `values` (nnz, ...) at `indices` (dimensions, nnz) and zeros elsewhere; equal indices add up.

    sparse_coo_tensor(size) and sparse_coo_tensor(size=...) give zeros. RuntimeError if indices and values do not match
    or lie outside of `size`.
    """
    if values is None:
        return ops.zeros(*(indices if size is None else size), dtype=dtype, device=device, requires_grad=requires_grad)
    indices, values = _tensor(indices).long(), _tensor(values, dtype)
    if indices.dim() != 2 or values.dim() < 1 or indices.shape[1] != values.shape[0]:
        raise RuntimeError(
            "indices and values must have same nnz, but got nnz from indices: "
            f"{indices.shape[-1] if indices.dim() else 0}, nnz from values: {values.shape[0] if values.dim() else 0}"
        )
    inner = tuple(values.shape[1:])
    if size is None:
        size = tuple(indices.max(1).values.add(1).tolist()) + inner
    dense = ops.zeros(*size, dtype=values.dtype, device=device or values.device)
    places = tuple(indices[i].to(dense.device) for i in range(indices.shape[0]))
    for i, place in enumerate(places):
        if place.numel() and (int(place.min()) < 0 or int(place.max()) >= size[i]):
            raise RuntimeError(
                f"size is inconsistent with indices: for dim {i}, size is {size[i]} but found index {int(place.max())}"
            )
    dense = dense.index_put(places, values.to(dense.device), accumulate=True)
    return dense.detach().requires_grad_() if requires_grad else dense


def sparse_csr_tensor(crow_indices: Any, col_indices: Any, values: Any, size: Any = None, **settings: Any) -> Tensor:
    """A dense matrix from compressed rows: row i has the values and columns numbered crow[i] to crow[i + 1]."""
    crow, columns = _tensor(crow_indices).long(), _tensor(col_indices).long()
    rows = ops.repeat_interleave(ops.arange(len(crow) - 1), crow[1:] - crow[:-1])
    if size is None:
        size = (len(crow) - 1, int(columns.max()) + 1 if columns.numel() else 0)
    return sparse_coo_tensor(ops.stack([rows, columns]), values, size, **settings)


def mm(mat1: Tensor, mat2: Tensor, reduce: str = "sum") -> Tensor:
    """The matrix product."""
    if reduce != "sum":
        raise NotImplementedError(f"torch.sparse.mm: reduce={reduce!r}; only 'sum' is there")
    return ops.matmul(mat1, mat2)


spmm = mm


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """beta * mat + alpha * mat1 @ mat2."""
    return ops.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum of the elements over `dim`; sparse tensors are dense here."""
    return ops.sum(input, dim=dim, dtype=dtype) if dim is not None else ops.sum(input, dtype=dtype)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Softmax over the entries that are there (the others count as minus infinity, not as 0)."""
    return _among_present(ops.softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Log-softmax over the entries that are there (the others count as minus infinity, not as 0)."""
    return _among_present(ops.log_softmax, input, dim, dtype)


def _among_present(function: Any, input: Tensor, dim: int, dtype: Any) -> Tensor:
    there = input != 0
    made = function(input.masked_fill(~there, -float("inf")), dim, dtype=dtype)
    return made.masked_fill(~there, 0)
