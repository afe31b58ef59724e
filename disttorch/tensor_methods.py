"""What a tensor can be asked that is no operation: its layout, hooks, copies, pickles."""

import math
import weakref
from copy import deepcopy

import numpy as np

from . import dtypes, layouts, ops
from .autograd.gradients import backward as _backward
from .autograd.inplace import check_history
from .autograd.mode import mode, no_grad
from .autograd.node import register
from .autograd.variable import Tensor, counter, wrap
from .devices import CPU, META
from .dispatch import converted, disabled_torch_function, get_default_nowrap_functions
from .ops.dims import Size, entry_of, sizes
from .ops.shape import alias_view


class TensorMethods:
    """The methods that are not operations; `tensors` moves them to Tensor."""

    def __new__(cls, *args, device=None):
        """Tensor(2, 3), Tensor([1, 2]): a tensor of the default dtype, as `FloatTensor` makes it."""
        from .typed import construct

        made = construct(dtypes.get_default_dtype(), *args, device=device)
        if cls is not Tensor:
            made.__class__ = cls
        return made

    def __init__(self, *args, **kwargs):
        pass

    # -- its class ----------------------------------------------------------------------------------------------------
    def __init_subclass__(cls, **kwargs):
        super(Tensor, cls).__init_subclass__(**kwargs)
        if cls.__torch_function__ is not disabled_torch_function:
            from .overrides import install

            install()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """Carry out `func` and make its results tensors of this class; NotImplemented beside classes that it does not
        derive from.
        """
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        result = disabled_torch_function(func, types, args, kwargs)
        return result if func in get_default_nowrap_functions() else converted(result, cls)

    def as_subclass(self, cls):
        """A view of the tensor that is of the class `cls`, which derives from Tensor; nothing calls its constructor."""
        if not (isinstance(cls, type) and issubclass(cls, Tensor)):
            raise TypeError(f"as_subclass(): argument 'cls' must be a class that derives from Tensor, not {cls}")
        made = alias_view(self)
        made.__class__ = cls
        return made

    @staticmethod
    def _make_subclass(cls, data, require_grad=False):
        """A leaf of the class `cls` that shares the memory of `data`."""
        made = data.detach().as_subclass(cls)
        made.requires_grad = require_grad
        return made

    # -- what it is ---------------------------------------------------------------------------------------------------
    @property
    def shape(self) -> Size:
        return Size(self._data.shape)

    def size(self, dim=None):
        return Size(self._data.shape) if dim is None else entry_of(self._data.shape, dim)

    def dim(self) -> int:
        return self._data.ndim

    ndimension = dim
    nelement = ops.numel

    def stride(self, dim=None):
        """Steps in elements from one entry of each dimension to the next."""
        data = self._data
        if data.size == 0:  # NumPy's are zeros
            shape = [max(n, 1) for n in data.shape]
            steps = tuple([math.prod(shape[i + 1 :]) for i in range(len(shape))])
        else:
            item = data.itemsize
            steps = tuple([s // item for s in data.strides])
            for k in range(len(steps) - 1, -1, -1) if 0 in steps else ():
                if steps[k] == 0 and data.shape[k] == 1:  # NumPy's for a dimension inserted by None
                    step = steps[k + 1] * data.shape[k + 1] if k + 1 < len(steps) else 1
                    steps = (*steps[:k], step, *steps[k + 1 :])
        return steps if dim is None else entry_of(steps, dim)

    def storage_offset(self) -> int:
        base = self._data
        while isinstance(base.base, np.ndarray):
            base = base.base
        return (self._data.ctypes.data - base.ctypes.data) // self._data.itemsize

    def element_size(self) -> int:
        return self._data.itemsize

    @property
    def itemsize(self) -> int:
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    def data_ptr(self) -> int:
        """The address of the first element."""
        if self.device is META:
            return 0
        return self._data.ctypes.data if self.device.host else self._data.data.ptr

    def is_contiguous(self, memory_format=None) -> bool:
        data = self._data
        if memory_format in (ops.channels_last, ops.channels_last_3d):
            rank = 4 if memory_format is ops.channels_last else 5
            return data.ndim == rank and np.moveaxis(data, 1, -1).flags.c_contiguous
        return data.flags.c_contiguous

    def is_set_to(self, other) -> bool:
        return self.data_ptr() == other.data_ptr() and self.shape == other.shape and self.stride() == other.stride()

    def is_pinned(self, device=None) -> bool:
        return False

    def pin_memory(self, device=None):
        """The tensor itself: host memory needs no pinning here."""
        return self

    def is_shared(self) -> bool:
        from .multiprocessing import is_shared

        return is_shared(self)

    def share_memory_(self):
        """The tensor itself, its memory moved into a segment that processes started from this one share."""
        from .multiprocessing import share

        return share(self)

    @property
    def is_meta(self) -> bool:
        return self.device is META

    is_sparse = is_quantized = is_mkldnn = is_nested = is_mps = is_xpu = False
    layout = layouts.strided
    name = names = None

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        return self.device.type == "cpu"

    @property
    def retains_grad(self) -> bool:
        return self._retains

    # -- parts and turns ----------------------------------------------------------------------------------------------
    @property
    def T(self):
        return ops.permute(self, *range(self._data.ndim - 1, -1, -1))

    @property
    def mT(self):
        if self._data.ndim < 2:
            raise RuntimeError(
                f"tensor.mT is only supported on matrices or batches of matrices. Got {self._data.ndim}-D tensor."
            )
        return ops.transpose(self, -2, -1)

    @property
    def H(self):
        if self._data.ndim not in (0, 2):
            batches = " For batches of matrices, consider using tensor.mH" if self._data.ndim > 2 else ""
            raise RuntimeError(
                f"tensor.H is only supported on matrices (2-D tensors). Got {self._data.ndim}-D tensor.{batches}"
            )
        return self.mH if self._data.ndim else ops.conj(self)

    @property
    def mH(self):
        return ops.conj(self.mT)

    def adjoint(self):
        return self.mH if self._data.ndim else ops.conj(self)

    def where(self, condition, other):
        return ops.where(condition, self, other)

    def polygamma(self, n):
        return ops.polygamma(n, self)

    @property
    def real(self):
        return ops.real(self)

    @real.setter
    def real(self, value):
        ops.real(self).copy_(_as_tensor(value, self))

    @property
    def imag(self):
        return ops.imag(self)

    @imag.setter
    def imag(self, value):
        ops.imag(self).copy_(_as_tensor(value, self))

    @property
    def data(self):
        """The same memory as a leaf that autograd does not watch."""
        out = wrap(self._data, self.device)
        if (type(self) is not Tensor and isinstance(self, Tensor)) or 0 in self._data.strides:
            out._root = self  # in-place operations look for shared elements where there is a root
        return out

    @data.setter
    def data(self, value):
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if value.dtype is not self.dtype and self._rg and not (value.dtype.is_floating_point or value.dtype.is_complex):
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        self._data, self.device = value._data, value.device

    # -- conversions --------------------------------------------------------------------------------------------------
    def cpu(self, memory_format=None):
        return ops.to(self, device=CPU)

    def cuda(self, device=None, non_blocking=False, memory_format=None):
        """A copy on a CUDA device (the current one if none is named)."""
        where = "cuda" if device is None else device
        return ops.to(self, device=where)

    def type(self, dtype=None, non_blocking=False):
        """The type's name, or the tensor in another dtype, or of another type (torch.cuda.FloatTensor, or a name)."""
        if dtype is None:
            return ("torch.cuda." if self.is_cuda else "torch.") + self.dtype.type_name
        if isinstance(dtype, dtypes.dtype):
            return ops.to(self, dtype)
        from .typed import described

        wanted, place = described(dtype)
        return ops.to(self, wanted, device=None if self.device.type == place else place)

    def type_as(self, other):
        return ops.to(self, other)

    # -- new tensors like this one -----------------------------------------------------------------------------------
    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
        return ops.tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad=False, **_):
        return ops.full(
            size, fill_value, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad
        )

    def new_empty_strided(self, size, stride, *, dtype=None, device=None, requires_grad=False, **_):
        d, where = dtype or self.dtype, device or self.device
        return ops.empty_strided(size, stride, dtype=d, device=where, requires_grad=requires_grad)

    def new(self, *args, device=None):
        """A tensor of this dtype: of the sizes given, or from the data given."""
        if args and not isinstance(args[0], int):
            if len(args) == 1 and isinstance(args[0], Size):
                return ops.empty(args[0], dtype=self.dtype, device=device or self.device)
            return ops.tensor(args[0], dtype=self.dtype, device=device or self.device)
        return ops.empty(args or (0,), dtype=self.dtype, device=device or self.device)

    # -- autograd -----------------------------------------------------------------------------------------------------
    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Accumulate this tensor's gradient in the leaves it was computed from; see `autograd.backward`."""
        _backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def requires_grad_(self, requires_grad=True):
        if requires_grad and self._data.dtype.kind not in "fcV":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        self.requires_grad = requires_grad
        return self

    def retain_grad(self):
        """Let `.grad` of a tensor that is not a leaf be filled by backward."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is None or self._retains:
            return
        self._retains, me = True, weakref.ref(self)

        def keep(g):
            t = me()
            if t is not None:
                g = g if mode.grad else g.detach()
                t._grad = g.clone(memory_format=layouts.contiguous_format) if t._grad is None else t._grad + g

        self.register_hook(keep)

    def register_hook(self, hook):
        """Call `hook(grad)` when this tensor's gradient is known; what it returns, if not None, takes its place."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is None:
            if self._hooks is None:
                self._hooks = {}
            return register(self._hooks, hook)
        if self._node.tensor_hooks is None:
            self._node.tensor_hooks, self._node.plain = {}, False
        return register(self._node.tensor_hooks.setdefault(self._nr, {}), hook)

    @property
    def _backward_hooks(self):
        """What `register_hook` was given, by number, or None: Lightning asks whether there is any."""
        if self.grad_fn is None:
            return self._hooks
        return (self._node.tensor_hooks or {}).get(self._nr)

    def register_post_accumulate_grad_hook(self, hook):
        """Call `hook(tensor)` after backward has accumulated into this leaf's `.grad`."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._accumulate_hooks is None:
            self._accumulate_hooks = {}
        return register(self._accumulate_hooks, hook)

    # -- copies and files ---------------------------------------------------------------------------------------------
    def __deepcopy__(self, memo):
        if self.grad_fn is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                "moment.  If you were attempting to deepcopy a module, this may be because of a "
                "torch.nn.utils.weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001"
            )
        if id(self) in memo:
            return memo[id(self)]
        with no_grad():
            out = wrap(self.detach().clone()._data, self.device, type(self))
            out._rg = self._rg
            memo[id(self)] = out
            if self._grad is not None:
                out._grad = self._grad.clone()
            for key, value in attributes_of(self).items():
                out.__dict__[key] = deepcopy(value, memo)
        return out

    def __reduce_ex__(self, protocol):
        kind = None if type(self) is Tensor else type(self)  # by name, pickle would look for it in torch
        return (_rebuild, (kind, self.cpu()._data, str(self.device), self._rg), attributes_of(self) or None)

    def split(self, split_size, dim=0):
        """Parts of `split_size` entries along `dim`, or of the sizes in a list."""
        return ops.split(self, split_size, dim)

    # -- sparse tensors, which are dense here -------------------------------------------------------------------------
    def to_sparse(self, *args, **kwargs):
        """The tensor itself: there is one layout."""
        return self

    to_sparse_csr = to_sparse_coo = coalesce = to_sparse

    def to_dense(self, dtype=None, *, masked_grad=None):
        return self if dtype is None else ops.to(self, dtype)

    def is_coalesced(self) -> bool:
        return True

    def indices(self):
        """Where the elements are that are not 0: (dimensions, their number)."""
        return ops.nonzero(self).t()

    def values(self):
        """The elements that are not 0, in the order of `indices`."""
        return self[self != 0]

    _indices, _values = indices, values

    # -- further in-place forms ---------------------------------------------------------------------------------------
    def resize_(self, *size, memory_format=None):
        """Another shape; elements are kept in order, new ones are uninitialised."""
        if self.requires_grad:
            raise RuntimeError("cannot resize variables that require grad")
        shape = sizes(size)
        flat = self._data.reshape(-1)
        count = int(np.prod(shape, dtype=np.int64))
        grown = flat[:count] if count <= flat.size else np.concatenate([flat, np.empty(count - flat.size, flat.dtype)])
        self._data = grown.reshape(shape)
        return self

    def resize(self, *size):
        """The elements in another shape with as many of them."""
        return ops.reshape(self, *size)

    def set_(self, source=None, storage_offset=0, size=None, stride=None):
        """Share the memory of `source`, a tensor or a storage: all its elements from `storage_offset` on, or those that
        lie there in a size (and a stride; else one after another).
        """
        check_history(self)
        if source is None:
            self._data = np.empty((0,), self._data.dtype)
        elif isinstance(source, Tensor):
            self._data = source._data
        else:
            if getattr(source, "dtype", self.dtype) is not self.dtype:
                raise RuntimeError(f"Expected a Storage of {self.dtype} or an UntypedStorage, but got {source.dtype}")
            flat = wrap(source.untyped()._elements().view(self._data.dtype), source.device)[storage_offset:]
            if stride is not None:
                flat = ops.as_strided(flat, size, stride)
            elif size is not None:
                flat = flat[: math.prod(size)].reshape(size)
            self._data, self.device = flat._data, source.device
        return self

    def record_stream(self, stream):
        """Let the memory be used again only when a CUDA stream has done what it was given while the tensor lived.
        RuntimeError for a tensor on the CPU.
        """
        if self.device.type != "cuda":
            raise RuntimeError(f"record_stream() is for tensors on CUDA devices, this one is on {self.device}")
        if stream._stream is not None:
            weakref.finalize(self._data, stream._stream.synchronize)

    def resize_as(self, the_template):
        """The elements in the shape of a tensor with as many of them."""
        return ops.reshape(self, the_template.shape)

    def map_(self, tensor, callable):
        self._data[...] = np.vectorize(callable)(self._data, tensor._data)
        counter(self)[0] += 1
        return self

    def apply_(self, callable):
        """Each element replaced by `callable(element)` (CPU only, slow)."""
        self._data[...] = np.vectorize(callable, otypes=[self._data.dtype])(self._data)
        counter(self)[0] += 1
        return self

    def untyped_storage(self):
        from .storage import UntypedStorage

        return UntypedStorage.of(self)

    def storage(self):
        from .storage import TypedStorage

        return TypedStorage.of(self)


def _as_tensor(value, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else ops.tensor(value, device=like.device)


def attributes_of(t: Tensor) -> dict:
    """What a program has hung on the tensor."""
    return {key: value for key, value in t.__dict__.items() if not hasattr(Tensor, key)}


def _rebuild(kind: type | None, data, where: str, requires_grad: bool):
    t = ops.to(wrap(dtypes.as_kernels_know(data)), device=where)
    out = wrap(t._data, t.device, kind or Tensor)
    out._rg = requires_grad
    return out
