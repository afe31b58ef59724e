"""Averaging models in place of gradients, every few steps: post-local SGD and hierarchical SGD."""
