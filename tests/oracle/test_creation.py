"""Making tensors beside PyTorch: values, dtypes, strides, warnings and errors of some 280 expressions."""

import warnings

import numpy as np
import pytest

import disttorch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

EXPRESSIONS = """
torch.tensor([[1,2],[3]])
torch.tensor("a")
torch.tensor(["a"])
torch.tensor([1,"a"])
torch.tensor(None)
torch.tensor([None])
torch.tensor({})
torch.tensor([1,2.5])
torch.tensor([True,2])
torch.tensor([1,True])
torch.tensor([1,2j])
torch.tensor([[]])
torch.tensor([[1],[2,3]])
torch.tensor([1,[2]])
torch.tensor([[1],2])
torch.tensor(np.float32(1))
torch.tensor([np.float32(1),2.])
torch.tensor([np.float64(1)])
torch.tensor([np.float16(1)])
torch.tensor([np.int32(1)])
torch.tensor(np.int32(1))
torch.tensor([np.int8(1),np.int8(2)])
torch.tensor(np.ones(2,np.float16))
torch.tensor([torch.tensor(1.),torch.tensor(2)])
torch.tensor([torch.tensor([1.]),torch.tensor([2])])
torch.tensor([torch.tensor([1.,2]),torch.tensor([2.,3])])
torch.tensor([torch.tensor([1.,2]),torch.tensor([2.,3,4])])
torch.tensor(torch.ones(2))
torch.tensor(2**63)
torch.tensor(2**64)
torch.tensor([2**63])
torch.tensor(-2**63-1)
torch.tensor(300,dtype=torch.uint8)
torch.tensor(-1,dtype=torch.uint8)
torch.tensor(1.5,dtype=torch.int32)
torch.tensor([1.5,2.5],dtype=torch.int32)
torch.tensor(1j,dtype=torch.float32)
torch.tensor(float('nan'),dtype=torch.int32)
torch.tensor(1e300)
torch.tensor(70000.,dtype=torch.float16)
torch.tensor(1,requires_grad=True)
torch.tensor(1.,requires_grad=True)
torch.tensor([1.],dtype='float')
torch.tensor([1.],dtype=float)
torch.tensor([1.],device='foo')
torch.tensor([1.],requires_grad=1)
torch.tensor(1,2)
torch.tensor(range(3))
torch.tensor((1,2))
torch.tensor(A())
torch.tensor(L())
torch.tensor({1,2})
torch.tensor(b"ab")
torch.tensor(np.array(['a']))
torch.tensor(np.array([1],dtype=object))
torch.as_tensor(A())
torch.as_tensor([1,2.])
torch.from_numpy([1])
torch.from_numpy(np.float32(1))
torch.from_numpy(np.ones(2)[::-1])
torch.from_numpy(np.ones(2,'>f4'))
torch.tensor(np.ones(2,'>f4'))
torch.from_numpy(np.ones(2,np.datetime64))
torch.zeros(2,3)
torch.zeros((2,3))
torch.zeros([2,3],dtype=torch.int64)
torch.zeros()
torch.zeros(())
torch.zeros(-1)
torch.zeros(2,-1)
torch.zeros(2.5)
torch.zeros((2.5,))
torch.zeros('a')
torch.zeros(size=(2,))
torch.zeros(torch.tensor(3))
torch.zeros(np.int64(3))
torch.zeros(3,out=torch.ones(2))
torch.zeros(3,out=torch.ones(3),dtype=torch.int32)
torch.zeros(2,True)
torch.full((2,),1)
torch.full((2,),1.)
torch.full((2,),True)
torch.full((2,),1j)
torch.full(2,1)
torch.full((2,),torch.tensor(5))
torch.full((),fill_value=3)
torch.full((2,),1.5,dtype=torch.int32)
torch.arange(5)
torch.arange(5.)
torch.arange(1,2,0.25)
torch.arange(1,5,2)
torch.arange(5,1,-1)
torch.arange(5,1)
torch.arange(1,5,0)
torch.arange(1,5,-1)
torch.arange(start=1,end=3)
torch.range(1,4)
torch.range(4,1,-0.5)
torch.range(1,4,dtype=torch.int32)
torch.range(0)
torch.range(4,1)
torch.arange(end=3)
torch.arange(5,dtype=torch.float16)
torch.arange(0,1,.1,dtype=torch.int64)
torch.arange(3,requires_grad=True)
torch.arange(torch.tensor(3))
torch.arange(torch.tensor(3.))
torch.arange(np.float64(3))
torch.arange(float('nan'))
torch.arange(float('inf'))
torch.arange(True)
torch.linspace(0,1,5)
torch.linspace(0,10,4,dtype=torch.int64)
torch.linspace(0,1,-1)
torch.linspace(3,3,1)
torch.linspace(0,1j,3)
torch.linspace(torch.tensor(0.),torch.tensor(1.),3)
torch.logspace(0,2,3)
torch.logspace(0,2,3,base=2)
torch.logspace(0,2,3,dtype=torch.int64)
torch.eye(2,3)
torch.eye(-1)
torch.eye(2,-1)
torch.eye(3,dtype=torch.int8)
torch.rand(2,dtype=torch.int64)
torch.randn(2,dtype=torch.int64)
torch.randint(5,(2,)).dtype
torch.randint(5,2)
torch.randint(5,5,(2,))
torch.randint(-300,5,(2,),dtype=torch.uint8)
torch.randint(0,300,(2,),dtype=torch.uint8)
torch.randint(high=3,size=(2,)).dtype
torch.randint(0,3,(2,),dtype=torch.float32).dtype
torch.randperm(-1)
torch.randperm(3,dtype=torch.float32).dtype
torch.randperm(3000,dtype=torch.float16)
torch.normal(0.,1.,(2,)).shape
torch.normal(0,1,(2,)).dtype
torch.normal(torch.zeros(2),torch.ones(2)).shape
torch.normal(torch.zeros(2),1.).shape
torch.normal(0.,torch.ones(2)).shape
torch.normal(torch.zeros(2),-1.)
torch.normal(torch.zeros(2),-torch.ones(2))
torch.normal(torch.zeros(2,3),torch.ones(3)).shape
torch.normal(0.,-1.,(2,))
torch.normal(torch.zeros(2)).shape
torch.bernoulli(torch.tensor([1]))
torch.bernoulli(torch.ones(2),.3).shape
torch.multinomial(torch.tensor([1.,2.]),3)
torch.multinomial(torch.tensor([1.,-2.]),1)
torch.multinomial(torch.tensor([0.,0.]),1)
torch.multinomial(torch.tensor([1,2]),1)
torch.multinomial(torch.tensor([1.,2]),0)
torch.multinomial(torch.zeros(2,2,2),1)
torch.multinomial(torch.tensor([float('nan'),2]),1)
torch.multinomial(torch.tensor([1.,0,0]),2)
torch.multinomial(torch.tensor([]),2)
torch.poisson(torch.tensor([-1.]))
torch.poisson(torch.tensor([1]))
torch.tril_indices(3,3)
torch.triu_indices(2,3,1)
torch.tril_indices(3,3,dtype=torch.int32,offset=-1)
torch.tril_indices(-1,3)
torch.complex(torch.ones(2),torch.ones(2))
torch.complex(torch.ones(2),torch.ones(2).double())
torch.polar(torch.ones(2),torch.zeros(2))
torch.scalar_tensor(3)
torch.frombuffer(b'abcd',dtype=torch.uint8)
torch.frombuffer(bytearray(b'abcd'),dtype=torch.int32)
torch.frombuffer(bytearray(b'abcd'),dtype=torch.int32,offset=2)
torch.frombuffer(bytearray(b'abcd'),dtype=torch.int8,count=9)
torch.frombuffer(bytearray(b''),dtype=torch.int8)
torch.empty(2,3).shape
torch.empty(2,3,4,5,memory_format=torch.channels_last).stride()
torch.empty_like(torch.empty(2,3).t()).stride()
torch.empty_like(torch.empty(2,3,4).permute(2,0,1)).stride()
torch.empty_like(torch.empty(2,6)[:,::2]).stride()
torch.empty_like(torch.empty(1,3).expand(2,3)).stride()
torch.zeros_like(torch.empty(2,3).t(),memory_format=torch.contiguous_format).stride()
torch.zeros_like([1])
torch.ones_like(torch.ones(2),dtype=torch.int8,requires_grad=True)
torch.full_like(torch.ones(2),2)
torch.full_like(torch.ones(2).int(),2.7)
torch.randint_like(torch.ones(2),3).dtype
torch.randint_like(torch.ones(2),3,5).dtype
torch.rand_like(torch.ones(2).int())
torch.empty_strided((2,3),(1,2)).stride()
torch.meshgrid(torch.arange(2),torch.arange(3))
torch.cartesian_prod(torch.arange(2),torch.arange(3))
torch.empty(2).uniform_(3,1)
torch.empty(2).normal_(0,-1)
torch.empty(2).exponential_(-1)
torch.empty(2).bernoulli_(2)
torch.empty(2).cauchy_(0,-1)
torch.empty(2).log_normal_(0,-1)
torch.empty(2).geometric_(0)
torch.empty(2).random_(5,5)
torch.empty(2).random_(-3)
torch.empty(2,dtype=torch.uint8).random_(300)
torch.empty(2,dtype=torch.int64).normal_()
torch.empty(2,dtype=torch.int64).uniform_()
torch.empty(2,dtype=torch.int64).exponential_()
torch.empty(2,dtype=torch.int64).log_normal_()
torch.empty(2,dtype=torch.complex64).random_()
torch.empty(2,requires_grad=True).normal_()
torch.ones(2,requires_grad=True).fill_(2)
torch.ones(2,requires_grad=True).clone().fill_(2)
torch.ones(2,requires_grad=True).clone().normal_().grad_fn
torch.ones(2,requires_grad=True).clone().uniform_().grad_fn
torch.ones(2,requires_grad=True).clone().bernoulli_().grad_fn
torch.ones(2,requires_grad=True).clone().exponential_().grad_fn
torch.ones(2,requires_grad=True).clone().random_().grad_fn
torch.ones(2,requires_grad=True).clone().zero_().grad_fn
torch.ones(2,requires_grad=True).clone().zero_().grad_fn.next_functions
torch.ones(2).fill_(torch.tensor([1,2]))
torch.ones(2).fill_(torch.tensor(3))
torch.ones(2).int().fill_(2.7)
torch.ones(2).int().fill_(1j)
torch.ones(2).fill_(torch.tensor(3.,requires_grad=True)).grad_fn
torch.bernoulli(torch.rand(2,requires_grad=True)).grad_fn
torch.normal(torch.rand(2,requires_grad=True),1.).grad_fn
torch.multinomial(torch.rand(2,requires_grad=True),1).grad_fn
torch.empty(6,dtype=torch.uint8).random_(0,256).dtype
torch.asarray([1,2])
torch.vander(torch.arange(3))
torch.ones(2).new_tensor([1,2])
torch.ones(2).new_zeros(2,3)
torch.ones(2).new_full((2,),3)
torch.normal(2, 3, size=(1, 4)).shape
torch.empty(3, names=None).shape
torch.tensor([1,2]).new_empty((2,)).dtype
torch.arange(0, 1, 0.1)
torch.arange(-1, 1, 0.3, dtype=torch.float64)
torch.arange(0, 100, 0.7)
torch.linspace(-3, 10, 37)
torch.linspace(-3, 10, 37, dtype=torch.float64)
torch.linspace(-3, 10, 12, dtype=torch.float16)
torch.linspace(-10, 3, 9, dtype=torch.int32)
torch.rand(20)
torch.randn(3, 7)
torch.randn(5, dtype=torch.complex64)
torch.randn_like(torch.ones(6, 4).t())
torch.rand_like(torch.ones(6, 4, dtype=torch.float64))
torch.randint(-3, 9, (5, 5))
torch.randint(3, (4,), dtype=torch.uint8)
torch.randperm(17)
torch.empty(5, 4).t().uniform_()
torch.empty(50, 4).t().normal_()
torch.empty(40)[::2].normal_(1, 2)
torch.empty(40)[::2].exponential_(3)
torch.empty(9, dtype=torch.int32).random_()
torch.empty(9, dtype=torch.float16).random_(2000)
torch.empty(9).random_(0, 2**30)
torch.empty(9, dtype=torch.bool).random_()
torch.empty(9, dtype=torch.bool).bernoulli_(0.4)
torch.empty(3, 9).bernoulli_(torch.linspace(0, 1, 9))
torch.normal(torch.arange(5.), torch.arange(5.))
torch.normal(2.0, torch.arange(20.))
torch.normal(torch.arange(20.), 3.0)
torch.normal(1.0, 2.0, (3, 3))
torch.bernoulli(torch.linspace(0, 1, 9))
torch.poisson(torch.tensor([0.5, 3.0, 20.0, 0.0]))
torch.multinomial(torch.tensor([[1.0, 2.0, 3.0], [3.0, 0.0, 1.0]]), 5, replacement=True)
torch.multinomial(torch.tensor([1.0, 2.0, 3.0]), 2)
torch.full((2, 2), 7, dtype=torch.float16)
torch.full((2,), 1e300)
torch.full((2,), 300, dtype=torch.uint8)
torch.full((2,), -1, dtype=torch.uint8)
torch.ones(2).fill_(1e300)
torch.zeros(2, 3, out=torch.empty(0))
torch.rand(3, out=torch.empty(3))
torch.rand(3, requires_grad=True)
torch.tensor([[1, 2], [3, 4]], dtype=torch.float16)
torch.tensor([1, 0, 3], dtype=torch.bool)
torch.tensor([1.5, 2], dtype=torch.complex64)
torch.tensor(3 + 4j)
torch.tensor((1, (2,)))
torch.tensor([[[1], [2]], [[3], [4]]])
torch.as_tensor(np.arange(4))
torch.as_tensor(np.arange(4), dtype=torch.float32)
torch.asarray([1.0, 2.0], dtype=torch.float64)
torch.combinations(torch.arange(4), 2)
torch.combinations(torch.arange(3), 2, with_replacement=True)
torch.meshgrid(torch.arange(2), torch.arange(3), indexing="xy")
torch.meshgrid(torch.arange(2), indexing="no")
torch.tril_indices(3, 5, 1)
torch.triu_indices(4, 3, -1)
torch.eye(3, 4, dtype=torch.bool)
torch.empty_permuted((2, 3, 4), (2, 0, 1)).stride()
torch.zeros_like(torch.empty(2, 3, 4, 5), memory_format=torch.channels_last).stride()
torch.ones_like(torch.empty(3, 2).t(), dtype=torch.int8)
torch.scalar_tensor(2, dtype=torch.int32)
""".strip().split("\n")


class Arrayish:
    def __array__(self):
        return np.ones(2)


class Listish:
    def __len__(self):
        return 2

    def __getitem__(self, i):
        if i > 1:
            raise IndexError
        return i


def seen(x):
    """What can be compared of a result."""
    if isinstance(x, torch.Tensor | disttorch.Tensor):
        t = x.detach()
        return repr(t.dtype), tuple(t.shape), np.asarray(t.tolist()).tolist(), t.requires_grad, tuple(t.stride())
    if isinstance(x, tuple | list):
        return [seen(part) for part in x]
    return type(x).__name__ if "Backward" in type(x).__name__ else repr(x)


def outcome(expression, lib):
    lib.random.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = seen(eval(expression, {"torch": lib, "np": np, "A": Arrayish, "L": Listish}))
        except Exception as error:
            result = type(error), str(error).split("\n")[0]
    return repr(result), [str(w.message)[:40] for w in caught]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_pytorch(expression):
    assert outcome(expression, disttorch) == outcome(expression, torch)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_ranges_to_the_last_bit(dtype):
    rng = np.random.default_rng(0)
    for _ in range(60):
        low, high = sorted(rng.uniform(-10, 10, 2))
        step, count = float(rng.uniform(0.01, 1)), int(rng.integers(2, 200))
        for make in (
            lambda lib, d: lib.arange(low, high, step, dtype=d),
            lambda lib, d: lib.linspace(high, low, count, dtype=d),
        ):
            ours, theirs = (make(lib, getattr(lib, dtype)).double().numpy() for lib in (disttorch, torch))
            np.testing.assert_array_equal(ours, theirs)
