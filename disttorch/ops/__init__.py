"""The operations, by family. Each one's forward and gradient stand together."""

from . import arithmetic
from .arithmetic import *
from .comparison import *
from .complexes import *
from .conversion import *
from .copying import *
from .creation import *
from .cutting import *
from .diagonal import *
from .dims import Size
from .drawing import *
from .extremes import *
from .fill import *
from .index_along import *
from .indexing import *
from .joining import *
from .masks import *
from .matmul import *
from .reduction import *
from .running import *
from .scatter import *
from .shape import *
from .turning import *
from .unary import *
from .windows import *
