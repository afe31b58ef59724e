"""What element types, shapes and kinds of arguments operations refuse, in PyTorch's words."""

import pytest

pytest.importorskip("torch")
from oracle.statements import assert_same

pytestmark = pytest.mark.oracle

COMPLEX = [
    "c < c", "c <= 1", "f < 1j", "c > f", "c >= c", "c == c", "c // c", "c % c", "T.hypot(c, c)", "T.fmod(c, c)",
    "T.atan2(c, c)", "T.gcd(c, c)", "T.nextafter(c, c)", "T.copysign(c, c)", "c.remainder_(c)", "c.angle()", "c.sgn()",
    "T.logical_and(c, c)", "f.masked_fill(f > 0, 1j)", "f.fill_(1j)", "f.mul_(c)", "c @ f",
    "T.maximum(c, c)", "T.minimum(c, c)", "T.fmax(c, c)", "c.floor()", "c.ceil()", "c.trunc()", "c.argmax()",
    "c.max(0)", "c.max()", "c.amax()", "c.sign()",
]  # fmt: skip


@pytest.mark.parametrize("statement", COMPLEX)
def test_complex(statement):
    assert_same(f"c = T.tensor([1 + 2j, 3j])\nf = T.ones(2)\n{statement}")


OTHERS = [
    "T.ones(2).copy_(1.5)", "T.ones(2).long().copy_(2)", "T.ones(3).masked_fill_(T.ones(2).bool(), 1)",
    "T.mv(T.ones(2), T.ones(2))", "T.ones(2).long().std()", "T.ones(2).int().var(0)", "T.gcd(T.ones(2), T.ones(2))",
    "T.tensor(3).size(0)", "T.tensor(3).stride(-1)", "T.multinomial(T.tensor([1., -2]), 3, True)",
    "T.multinomial(T.tensor([1., float('nan')]), 2, True)", "T.multinomial(T.tensor([1., float('inf')]), 1)",
]  # fmt: skip


@pytest.mark.parametrize("statement", OTHERS)
def test_others(statement):
    assert_same(statement)
