"""The operations, by family. Each one's forward and gradient stand together."""

from types import ModuleType as _ModuleType

from . import arithmetic, aten, sums
from .activation import *
from .adaptive_pooling import *
from .arithmetic import *
from .bessel import *
from .clamping import *
from .combining import *
from .comparison import *
from .complexes import *
from .conversion import *
from .convolution import *
from .copying import *
from .creation import *
from .cutting import *
from .decomposition import *
from .diagonal import *
from .dims import Size
from .distance import *
from .drawing import *
from .error_functions import *
from .extremes import *
from .fill import *
from .functional_forms import *
from .gamma import *
from .hashing import *
from .index_along import *
from .indexing import *
from .joining import *
from .linear import *
from .lowrank import *
from .lu import *
from .masks import *
from .matmul import *
from .native import *
from .normalization import *
from .norms import *
from .pointwise import *
from .pooling import *
from .pseudo import *
from .questions import *
from .ranges import *
from .rearranging import *
from .recurrent import *
from .reduction import *
from .running import *
from .scatter import *
from .segments import *
from .sets import *
from .shape import *
from .softmax import *
from .solving import *
from .sorting import *
from .spectrogram import *
from .statistics import *
from .sums import *
from .tapers import *
from .turning import *
from .unary import *
from .weighted import *
from .windows import *

__all__ = [name for name, value in globals().items() if not name.startswith("_") and not isinstance(value, _ModuleType)]

from .aliases import at_home as _at_home
from .aliases import of_dimension as _of_dimension

for _name in [n for n in globals() if not n.startswith("_")]:
    globals()[_name] = _of_dimension(_name, globals()[_name])
_at_home(globals(), __name__)
