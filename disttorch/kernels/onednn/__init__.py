"""Kernels of oneDNN, called through ctypes."""
