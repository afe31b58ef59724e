"""Every test of this folder fails on what it leaves behind."""

import pytest
from disttorch.comm.testing import check_leaks


@pytest.fixture(autouse=True)
def no_leaks():
    with check_leaks():
        yield
