"""The launcher: processes, command lines, environments, signals and log files; no tensors."""
