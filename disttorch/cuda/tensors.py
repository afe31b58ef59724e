"""torch.cuda.FloatTensor and the like: constructors of tensors of one dtype on the current CUDA device."""

from .. import dtypes
from ..typed import make

FloatTensor, DoubleTensor = make(dtypes.float32, cuda=True), make(dtypes.float64, cuda=True)
HalfTensor, BFloat16Tensor = make(dtypes.float16, cuda=True), make(dtypes.bfloat16, cuda=True)
LongTensor, IntTensor, ShortTensor = (make(d, cuda=True) for d in (dtypes.int64, dtypes.int32, dtypes.int16))
CharTensor, ByteTensor, BoolTensor = (make(d, cuda=True) for d in (dtypes.int8, dtypes.uint8, dtypes.bool_))
