"""The operations, by family. Each one's forward and gradient stand together."""

from . import pointwise, reduction, shape
from .arithmetic import *
from .comparison import *
from .complexes import *
from .conversion import *
from .copying import *
from .creation import *
from .drawing import *
from .fill import *
from .indexing import *
from .matmul import *
from .reduction import *
from .shape import *
from .unary import *
