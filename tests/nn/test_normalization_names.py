"""Where programs look for normalization layers."""

import pytest

from disttorch import nn
from disttorch.nn.modules import batchnorm


def test_sync_batch_norm_is_among_the_others():
    assert batchnorm.SyncBatchNorm is nn.SyncBatchNorm
    with pytest.raises(AttributeError, match="no attribute 'BatchNorm9d'"):
        batchnorm.BatchNorm9d  # noqa: B018
