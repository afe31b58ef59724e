"""torch.distributed.elastic: what scripts use of it. The launcher itself is `disttorch.launcher`."""
