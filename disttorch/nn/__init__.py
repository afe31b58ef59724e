"""Neural networks: modules, their parameters, functions, initial values."""

from . import functional, init, modules, parameter
from .modules import *
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
