"""Einstein summation by pairwise contraction: each pair is one batched matrix product, so gradients need no rule of
their own.
"""

from ..autograd.variable import Tensor
from .matmul import bmm


def contract(equation, *tensors) -> Tensor:
    """`equation` with letters, "..." and "->"; or the sublist format (tensor, [0, 1], tensor, [1, 2], [0, 2])."""
    if isinstance(equation, Tensor):
        equation, tensors = _from_sublists((equation, *tensors))
    terms, result = _parse(equation, [t._data.ndim for t in tensors])
    values, labels = [], []
    for k, (t, term) in enumerate(zip(tensors, terms, strict=True)):
        t, term = _diagonals(t, term, k)
        values.append(t)
        labels.append(term)
    sizes: dict = {}
    for t, term in zip(values, labels, strict=True):
        for s, c in zip(t._data.shape, term, strict=True):
            if sizes.get(c, 1) != 1 and s not in (1, sizes[c]):
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {s} for operand {labels.index(term)} which does not broadcast "
                    f"with previously seen size {sizes[c]}"
                )
            sizes[c] = max(sizes.get(c, 1), s) if s else 0
    while len(values) > 1:
        later = set(result).union(*labels[2:])
        value, term = _pair(values[0], labels[0], values[1], labels[1], later)
        values[:2], labels[:2] = [value], [term]
    value, term = values[0], labels[0]
    gone = [i for i, c in enumerate(term) if c not in result]
    if gone:
        value = value.sum(gone, dtype=value.dtype if len(tensors) > 1 else None)
        term = [c for c in term if c in result]
    return value.permute(*[term.index(c) for c in result]) if term != result else value


def _from_sublists(args):
    tensors, terms = list(args[0::2]), list(args[1::2])
    result = None
    if len(args) % 2:
        result = tensors.pop()
    letter = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    name = lambda term: "".join("..." if i is Ellipsis else letter[i] for i in term)  # noqa: E731
    return ",".join(map(name, terms)) + ("" if result is None else "->" + name(result)), tensors


def _parse(equation: str, ndims: list[int]) -> tuple[list, list]:
    """Each operand's and the result's labels as lists; "..." becomes labels "...0", "...1" counted from the right."""
    if not isinstance(equation, str):
        raise TypeError(f"einsum(): argument 'equation' (position 1) must be str, not {type(equation).__name__}")
    equation = equation.replace(" ", "")
    left, arrow, right = equation.partition("->")
    parts = left.split(",")
    if len(parts) != len(ndims):
        raise RuntimeError(
            f"einsum(): {'more' if len(parts) < len(ndims) else 'fewer'} operands were provided than specified in the "
            "equation"
        )
    terms, most = [], 0
    for i, (part, ndim) in enumerate(zip(parts, ndims, strict=True)):
        head, dots, tail = part.partition("...")
        for c in head + tail:
            if not c.isalpha():
                raise RuntimeError(
                    f"einsum(): invalid subscript given at index {left.index(c)} in the equation string, subscripts "
                    "must be in [a-zA-Z]"
                )
        extra = ndim - len(head) - len(tail)
        if extra < 0 or (extra and not dots):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(head) + len(tail)}) "
                f"{'is more than' if dots else 'does not match'} the number of dimensions ({ndim}) for operand {i}"
                + ("" if dots else " and no ellipsis was given")
            )
        most = max(most, extra)
        terms.append([*head, *[f"...{k}" for k in range(extra - 1, -1, -1)], *tail])
    spread = [f"...{k}" for k in range(most - 1, -1, -1)]
    if arrow:
        head, dots, tail = right.partition("...")
        result = [*head, *(spread if dots else []), *tail]
        for c in head + tail:
            if not any(c in t for t in terms):
                raise RuntimeError(
                    f"einsum(): output subscript {c} does not appear in the equation for any input operand"
                )
            if (head + tail).count(c) > 1:
                raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
    else:
        letters = [c for t in terms for c in t if not c.startswith("...")]
        result = spread + sorted(c for c in set(letters) if letters.count(c) == 1)
    return terms, result


def _diagonals(t: Tensor, term: list, operand: int) -> tuple[Tensor, list]:
    """A repeated label means the diagonal."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            a = term.index(c)
            b = term.index(c, a + 1)
            if t._data.shape[a] != t._data.shape[b]:
                raise RuntimeError(
                    f"einsum(): subscript {c} is repeated for operand {operand} but the sizes don't match, "
                    f"{t._data.shape[b]} != {t._data.shape[a]}"
                )
            t = t.diagonal(0, a, b)
            term = [x for i, x in enumerate(term) if i not in (a, b)] + [c]
    return t, term


def _pair(a: Tensor, la: list, b: Tensor, lb: list, later: set) -> tuple[Tensor, list]:
    """The product of two operands, summed over the labels that nothing later needs, as one batched matrix product."""
    a, la = _sum_alone(a, la, set(lb) | later)
    b, lb = _sum_alone(b, lb, set(la) | later)
    shared = [c for c in la if c in lb]
    batch = [c for c in shared if c in later]
    inner = [c for c in shared if c not in later]
    only_a, only_b = [c for c in la if c not in lb], [c for c in lb if c not in la]
    size = dict.fromkeys(la + lb, 1)
    for t, term in ((a, la), (b, lb)):
        for c, s in zip(term, t._data.shape, strict=True):
            size[c] = s if size[c] == 1 else size[c]
    a = _expanded(a, la, shared, size).permute(*[la.index(c) for c in batch + only_a + inner])
    b = _expanded(b, lb, shared, size).permute(*[lb.index(c) for c in batch + inner + only_b])
    product = lambda labels: _prod(size[c] for c in labels)  # noqa: E731
    n_batch, n_inner = product(batch), product(inner)
    c = bmm(a.reshape(n_batch, product(only_a), n_inner), b.reshape(n_batch, n_inner, product(only_b)))
    term = batch + only_a + only_b
    return c.reshape([size[x] for x in term]), term


def _sum_alone(t: Tensor, term: list, needed: set) -> tuple[Tensor, list]:
    gone = [i for i, c in enumerate(term) if c not in needed]
    return (t.sum(gone, dtype=t.dtype), [c for c in term if c in needed]) if gone else (t, term)


def _expanded(t: Tensor, term: list, shared: list, size: dict) -> Tensor:
    shape = [size[c] if c in shared else s for c, s in zip(term, t._data.shape, strict=True)]
    return t if tuple(shape) == t._data.shape else t.expand(shape)


def _prod(values) -> int:
    result = 1
    for v in values:
        result *= v
    return result
