"""Making tensors: what comes out, what is shared, what is refused. (Beside PyTorch: oracle/test_creation.py.)"""

import numpy as np
import pytest

import disttorch
from disttorch import float32, float64, int64, tensor


def test_python_numbers_get_the_default_dtypes():
    assert tensor([1, 2]).dtype is int64
    assert tensor([1, 2.5]).dtype is float32
    assert tensor([True, False]).dtype is disttorch.bool
    assert tensor([1, 2j]).dtype is disttorch.complex64
    assert tensor([]).dtype is float32
    disttorch.set_default_dtype(float64)
    try:
        assert tensor([1, 2.5]).dtype is float64
        assert disttorch.zeros(2).dtype is float64
    finally:
        disttorch.set_default_dtype(float32)


@pytest.mark.parametrize("kind", ["float16", "float64", "int8", "uint8", "complex128", "bool"])
def test_numpys_numbers_keep_theirs(kind):
    array = np.ones(2, kind)
    assert tensor(array).dtype.name == kind
    assert tensor([array[0], array[1]]).dtype.name == kind
    assert tensor([array, array]).shape == (2, 2)


def test_lists_of_tensors():
    assert tensor([tensor(1.0), tensor(2)]).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
        tensor([tensor([1.0, 2.0]), tensor([1.0, 2.0])])


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ([[1, 2], [3]], ValueError, r"expected sequence of length 2 at dim 1 \(got 1\)"),
        ([[[1], [2]], [[3], [4, 5]]], ValueError, r"expected sequence of length 1 at dim 2 \(got 2\)"),
        (["a"], ValueError, "too many dimensions 'str'"),
        ("a", TypeError, r"new\(\): invalid data type 'str'"),
        (None, RuntimeError, "Could not infer dtype of NoneType"),
        ({}, RuntimeError, "Could not infer dtype of dict"),
        ([2**63], ValueError, "Overflow when unpacking long long"),
        (np.array(["a"]), TypeError, "can't convert np.ndarray of type numpy.str_"),
        (np.ones(2, ">f4"), ValueError, "byte order different from the native byte order"),
    ],
)
def test_what_holds_no_numbers(data, error, text):
    with pytest.raises(error, match=text):
        tensor(data)


def test_a_tensor_is_copied_with_a_warning():
    t = tensor([1.0], requires_grad=True)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        copied = tensor(t)
    assert copied.is_leaf
    assert copied.data_ptr() != t.data_ptr()


def test_what_is_shared_and_what_is_not():
    array = np.zeros(3, np.float32)
    shared, also, copied = disttorch.from_numpy(array), disttorch.as_tensor(array), tensor(array)
    array[0] = 1
    assert [t[0].item() for t in (shared, also, copied)] == [1.0, 1.0, 0.0]
    assert disttorch.as_tensor(shared) is shared
    assert disttorch.as_tensor(array, dtype=float64).data_ptr() != shared.data_ptr()
    buffer = bytearray(8)
    t = disttorch.frombuffer(buffer, dtype=disttorch.int32)
    buffer[0] = 7
    assert t.tolist() == [7, 0]
    assert np.shares_memory(disttorch.from_dlpack(array).numpy(), array)
    assert np.shares_memory(np.from_dlpack(shared), array)
    assert disttorch.utils.dlpack.from_dlpack(shared).data_ptr() == shared.data_ptr()
    with pytest.raises(BufferError, match="tensors that require gradient"):
        disttorch.utils.dlpack.to_dlpack(disttorch.ones(1, requires_grad=True))
    assert disttorch.from_dlpack(disttorch.utils.dlpack.to_dlpack(shared)).data_ptr() == shared.data_ptr()


def test_only_floating_tensors_can_require_gradients():
    assert disttorch.zeros(2, requires_grad=True).requires_grad
    for make in (lambda: tensor(1, requires_grad=True), lambda: disttorch.arange(3, requires_grad=True)):
        with pytest.raises(
            RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"
        ):
            make()


def test_sizes():
    assert disttorch.zeros(2, 3).shape == disttorch.zeros((2, 3)).shape == disttorch.zeros(size=[2, 3]).shape == (2, 3)
    assert disttorch.ones(()).item() == 1
    for call, error, text in [
        (lambda: disttorch.zeros(2, -1), RuntimeError, "Dimension size must be non-negative"),
        (
            lambda: disttorch.ones(2.5),
            TypeError,
            r"ones\(\): argument 'size' \(position 1\) must be tuple of ints, not float",
        ),
        (lambda: disttorch.ones(), TypeError, 'missing 1 required positional arguments: "size"'),
        (lambda: disttorch.rand(2, foo=1), TypeError, r"rand\(\) got an unexpected keyword argument 'foo'"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_devices():
    disttorch.devices.simulate(2)
    try:
        t = disttorch.arange(4, device="cuda:1")
        assert str(t.device) == "cuda:1"
        assert str(disttorch.rand_like(t, dtype=float32).device) == "cuda:1"
        with disttorch.device("cuda"):
            assert str(disttorch.zeros(2).device) == "cuda:0"
    finally:
        disttorch.devices.simulate(None)


def test_out_is_filled():
    out = disttorch.empty(0)
    assert disttorch.zeros(2, 3, out=out) is out
    assert out.shape == (2, 3)
    with pytest.raises(RuntimeError, match=r"dtype Int does not match dtype of out parameter \(Float\)"):
        disttorch.zeros(3, out=out, dtype=disttorch.int32)


def test_fillers_change_memory_version_and_history():
    base = disttorch.zeros(4)
    view = base[1:3]
    version = base._version
    assert view.fill_(3) is view
    assert base.tolist() == [0.0, 3.0, 3.0, 0.0]
    assert base._version == version + 1
    view.uniform_()
    assert 0 <= base[1].item() < 1
    leaf = disttorch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        leaf.zero_()
    filled = (leaf * 2).normal_()
    assert filled.grad_fn.name() == "NormalBackward0"
    filled.sum().backward()
    assert leaf.grad.tolist() == [0.0, 0.0, 0.0]
    value = disttorch.tensor(2.0, requires_grad=True)
    disttorch.ones(3).fill_(value).sum().backward()
    assert value.grad.item() == 3


def test_random_tensors_follow_the_seed():
    make = lambda: [disttorch.rand(3), disttorch.randn(20), disttorch.randint(0, 9, (4,)), disttorch.randperm(6)]  # noqa: E731
    disttorch.random.manual_seed(3)
    first = make()
    disttorch.random.manual_seed(3)
    for a, b in zip(first, make(), strict=True):
        assert a.tolist() == b.tolist()
    generator = disttorch.random.Generator().manual_seed(3)
    assert disttorch.rand(3, generator=generator).tolist() == first[0].tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda t: t.uniform_(3, 1), r"uniform_ expects to return a \[from, to\) range, but found from=3 > to=1"),
        (lambda t: t.normal_(0, -1), "normal expects std >= 0.0, but found std -1"),
        (lambda t: t.exponential_(0), "exponential_ expects lambda > 0.0, but found lambda=0"),
        (lambda t: t.bernoulli_(2), r"bernoulli_ expects p to be in \[0, 1\], but got p=2"),
        (lambda t: t.geometric_(1), r"geometric_ expects p to be in \(0, 1\), but got p=1"),
        (lambda t: t.random_(5, 5), "random_ expects 'from' to be less than 'to', but got from=5 >= to=5"),
        (lambda t: disttorch.multinomial(t, 3), "cannot sample n_sample > prob_dist.size"),
        (lambda t: disttorch.multinomial(-t, 1), "probability tensor contains either `inf`, `nan` or element < 0"),
    ],
)
def test_what_cannot_be_drawn(call, text):
    with pytest.raises(RuntimeError, match=text):
        call(disttorch.ones(2))


def test_grids():
    a, b = disttorch.arange(2), disttorch.arange(3)
    i, j = disttorch.meshgrid(a, b, indexing="ij")
    assert (i.tolist(), j.tolist()) == ([[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]])
    x, y = disttorch.meshgrid(a, b, indexing="xy")
    assert (x.tolist(), y.tolist()) == ([[0, 1], [0, 1], [0, 1]], [[0, 0], [1, 1], [2, 2]])
    assert disttorch.cartesian_prod(a, b).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert disttorch.combinations(b, 2).tolist() == [[0, 1], [0, 2], [1, 2]]
    leaf = disttorch.ones(2, requires_grad=True)
    disttorch.meshgrid(leaf, b.float(), indexing="ij")[0].sum().backward()
    assert leaf.grad.tolist() == [3.0, 3.0]
