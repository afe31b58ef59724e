"""Algorithms on process groups: communication hooks, joining of uneven inputs."""
