"""MultiProcContinuousTest: ranks that live as long as the class."""

from verdicts import verdicts

RANKS = """
import disttorch.alias
disttorch.alias.install()
import os, sys, time, unittest
import torch
import torch.distributed as dist
from torch.testing._internal.common_distributed import MultiProcContinuousTest, TEST_SKIPS, skip_if_lt_x_gpu
from torch.testing._internal.common_utils import instantiate_parametrized_tests, parametrize, run_tests


class Lives(MultiProcContinuousTest):
    world_size = 2
    seen = []

    @classmethod
    def backend_str(cls):
        return "gloo"

    @parametrize("scale", [1, 2])
    def test_a(self, scale):
        self.seen.append(scale)
        t = torch.ones(2) * self.rank * scale
        self.pg.allreduce([t]).wait()
        self.assertEqual(t, torch.ones(2) * scale)
        self.assertEqual(dist.get_backend(), "gloo")

    def test_b_same_process(self):
        self.assertEqual(self.seen, [1, 2])

    @skip_if_lt_x_gpu(2)
    def test_c(self):
        raise AssertionError

    def test_d(self):
        sys.exit(TEST_SKIPS["odd_worldsize"].exit_code)

    def test_e(self):
        if self.rank == 1:
            raise ValueError("of rank 1")
        dist.barrier()

    def test_f(self):
        raise AssertionError


instantiate_parametrized_tests(Lives)


class Ends(MultiProcContinuousTest):
    world_size = property(lambda self: 2)
    backend_str = classmethod(lambda cls: "gloo")

    def test_a(self):
        os._exit(3 * self.rank)


class NoGroup(MultiProcContinuousTest):
    world_size = 2

    @classmethod
    def _init_pg(cls, rank, world_size, rdvz_file):
        raise ValueError("no group")

    def test_a(self):
        pass


if __name__ == "__main__":
    run_tests()
"""


def test_ranks_live_as_long_as_the_class(tmp_path):
    found, printed = verdicts(tmp_path, RANKS)
    assert found == {
        "test_a (__main__.Ends": "ERROR",
        "test_a (__main__.NoGroup": "ERROR",
        "test_a_scale_1 (__main__.Lives": "ok",
        "test_a_scale_2 (__main__.Lives": "ok",
        "test_b_same_process (__main__.Lives": "ok",
        "test_c (__main__.Lives": "skipped 'Need at least 2 CUDA devices'",
        "test_d (__main__.Lives": "skipped 'Skipped due to odd world size.'",
        "test_e (__main__.Lives": "ERROR",
        "test_f (__main__.Lives": "skipped 'Previous test failed, skipping __main__.Lives.test_f'",
    }
    assert "Exception in worker process:\nTraceback" in printed
    assert "ValueError: of rank 1" in printed
    assert "ended without an answer" in printed
    assert "ValueError: no group" in printed
