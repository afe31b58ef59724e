"""torch._utils: tensors packed by hand, as many programs average gradients."""

import disttorch as torch
from disttorch._utils import _flatten_dense_tensors, _reorder_tensors_as, _take_tensors, _unflatten_dense_tensors


def test_flat_and_back():
    tensors = [torch.arange(4.0).view(2, 2), torch.tensor(7.0), torch.zeros(0), torch.ones(1, 3)]
    flat = _flatten_dense_tensors(tensors)
    assert flat.tolist() == [0, 1, 2, 3, 7, 1, 1, 1]
    pieces = _unflatten_dense_tensors(flat, tensors)
    assert all(torch.equal(a, b) for a, b in zip(pieces, tensors, strict=True))
    pieces[3].zero_()
    assert flat[-3:].tolist() == [0, 0, 0]


def test_chunks_of_one_type_and_bounded_size():
    tensors = [torch.ones(n, dtype=d) for n, d in [(2, torch.float32), (9, torch.int64), (1, torch.float32)]]
    tensors += [torch.ones(30), torch.ones(1)]
    chunks = list(_take_tensors(tensors, 12))
    assert [[len(t) for t in chunk] for chunk in chunks] == [[2, 1], [30], [9], [1]]
    back = _reorder_tensors_as([t for chunk in chunks for t in chunk], tensors)
    assert all(a is b for a, b in zip(back, tensors, strict=True))
