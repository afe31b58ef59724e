"""The version of disttorch, and what it computes with."""

__version__ = "0.1.0"
cuda = None  # the CUDA that PyTorch would have been built with: CuPy finds it at run time
hip = xpu = None  # other makers' devices
debug = False
git_version = "unknown"
