"""The threads of DataParallel's replicas."""

import threading

import disttorch as torch
from disttorch.nn.parallel.team import Team, _dismiss


def test_a_member_in_whose_thread_garbage_is_collected_does_not_wait_for_itself(simulated_devices):
    simulated_devices(2)

    def task(rank, group):
        _dismiss([], [threading.current_thread()], [])
        return rank

    assert Team([torch.device("cuda", 0), torch.device("cuda", 1)]).run(task) == [0, 1]
