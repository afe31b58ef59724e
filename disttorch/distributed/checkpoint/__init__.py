"""torch.distributed.checkpoint: states under names that do not tell how a model was wrapped; see `state_dict`.

Files are `disttorch.save`'s: parameters are whole on every rank, so rank 0 writes them all.
"""
