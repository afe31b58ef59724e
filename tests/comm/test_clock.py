"""Looking at what threads do."""

import gc
import sys
import threading

import pytest
from disttorch.comm import clock


@pytest.mark.parametrize("collects", [True, False])
def test_nothing_is_collected_while_threads_are_looked_at(monkeypatch, collects):
    """CPython 3.11 may hang otherwise."""
    look, seen = sys._current_frames, []
    monkeypatch.setattr(sys, "_current_frames", lambda: [seen.append(gc.isenabled()), look()][1])
    if not collects:
        gc.disable()
    try:
        frames = clock.frames()
        assert gc.isenabled() == collects
    finally:
        gc.enable()
    assert seen == [False]
    assert threading.get_ident() in frames
