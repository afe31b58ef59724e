"""testing._internal: what tests written for PyTorch and for torch.distributed are made of."""

import inspect
import os
import random
import unittest

import numpy as np
import pytest

import disttorch as torch
from disttorch import distributed as dist
from disttorch.testing._internal import common_distributed, common_utils
from disttorch.testing._internal.common_utils import TestCase, instantiate_parametrized_tests, parametrize, subtest
from verdicts import verdicts

RANKS = """
import disttorch.alias
disttorch.alias.install()
import os, sys, unittest
import torch
import torch.distributed as dist
from torch.testing._internal.common_distributed import (
    TEST_SKIPS, DistributedTestBase, MultiProcessTestCase, MultiThreadedTestCase, requires_gloo, skip_if_lt_x_gpu,
)
from torch.testing._internal.common_utils import FILE_SCHEMA, run_tests


class Processes(MultiProcessTestCase):
    world_size = 2

    def setUp(self):
        super().setUp()
        self.skip_return_code_checks = [getattr(self.test_may_end, "__wrapped__", None)]
        self.special_return_code_checks = {getattr(self.test_ends_in_three, "__wrapped__", None): 3}
        self._spawn_processes()

    @requires_gloo()
    def test_sum(self):
        dist.init_process_group("gloo", FILE_SCHEMA + self.file_name, rank=self.rank, world_size=self.world_size)
        t = torch.ones(2) * self.rank
        dist.all_reduce(t)
        self.assertEqual(t, torch.ones(2))

    def test_wrong(self):
        self.assertEqual(self.rank, 0)

    def test_wrong_at_length(self):  # more than a pipe holds
        raise AssertionError("x" * 300_000)

    def test_ends(self):
        os._exit(3 * self.rank)

    def test_ends_in_three(self):
        os._exit(3)

    def test_may_end(self):
        os._exit(3 * self.rank)

    @skip_if_lt_x_gpu(2)
    def test_devices(self):
        raise AssertionError

    def test_skips(self):
        raise unittest.SkipTest("because")

    def test_odd(self):
        sys.exit(TEST_SKIPS["odd_worldsize"].exit_code)


class WithGroup(DistributedTestBase):
    world_size = 2

    def test_group(self):
        self.create_pg("cpu")
        self.assertEqual((dist.get_world_size(), dist.get_backend()), (2, "gloo"))


class Threads(MultiThreadedTestCase):
    world_size = 3
    ranks = []

    def setUp(self):
        super().setUp()
        self._spawn_threads()

    def perThreadSetUp(self):
        self.ranks.append(self.rank)

    def test_sum(self):
        t = torch.ones(1)
        dist.all_reduce(t)
        self.assertEqual(t.item(), 3)
        dist.barrier()
        self.assertEqual(sorted(self.ranks), [0, 1, 2])
        self.assertEqualOnRank(self.rank, 1, rank=1)


if __name__ == "__main__":
    run_tests()
"""


def test_on_several_ranks(tmp_path):
    found, printed = verdicts(tmp_path, RANKS)
    assert found == {
        "test_devices (__main__.Processes": "skipped 'Need at least 2 CUDA devices'",
        "test_ends (__main__.Processes": "FAIL",
        "test_ends_in_three (__main__.Processes": "ok",
        "test_group (__main__.WithGroup": "ok",
        "test_may_end (__main__.Processes": "ok",
        "test_odd (__main__.Processes": "skipped 'Skipped due to odd world size.'",
        "test_skips (__main__.Processes": "skipped 'because'",
        "test_sum (__main__.Processes": "ok",
        "test_sum (__main__.Threads": "ok",
        "test_wrong (__main__.Processes": "ERROR",
        "test_wrong_at_length (__main__.Processes": "ERROR",
    }
    assert "x" * 300_000 in printed
    assert "Process 1 exited with error code 10 and exception:\nTraceback" in printed
    assert "AssertionError: 1 != 0" in printed
    assert "Expected zero exit codes but got [0, 3]" in printed


class Comparing(TestCase):
    def runTest(self):
        """Nothing: its methods are called one by one."""


ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        (ONE, ONE + 1e-7, {}),
        (ONE, [1, 1], {}),
        (torch.tensor(2.0), 2, {}),
        (2, torch.tensor([[2]]), {}),
        (ONE, np.ones(2), {}),
        (ONE, ONE.double(), {"exact_dtype": False}),
        (ONE, ONE + 0.1, {"atol": 0.2, "rtol": 0}),
        ([ONE, "a", None, {"k": 1.0}], [ONE, "a", None, {"k": 1.0 + 1e-9}], {}),
        (ONE.shape, (2,), {}),
        (torch.float32, torch.float32, {}),
    ],
)
def test_what_is_equal(a, b, options):
    Comparing().assertEqual(a, b, **options)
    with pytest.raises(AssertionError):
        Comparing().assertNotEqual(a, b, **options)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (ONE, ONE * 2),
        (ONE, ONE.double()),
        (ONE, None),
        (ONE, 1),
        (ONE[:1], [[1]]),
        ([ONE], [ONE, ONE]),
        ({"a": 1}, {"b": 1}),
        ("a", "b"),
        (1, 1.1),
    ],
)
def test_what_is_not(a, b):
    Comparing().assertNotEqual(a, b)
    with pytest.raises(AssertionError):
        Comparing().assertEqual(a, b)


def test_tests_start_with_the_same_numbers():
    case = Comparing()
    case.setUp()
    first = torch.rand(2), random.random(), np.random.rand()
    with common_utils.freeze_rng_state():
        torch.rand(1)
    second = torch.rand(1)
    case.setUp()
    assert (torch.rand(2).tolist(), random.random(), np.random.rand()) == (first[0].tolist(), *first[1:])
    assert torch.rand(1).equal(second)


def test_parameters():
    seen = []

    class Cases(TestCase):
        @parametrize("dtype,where", [(torch.float32, torch.device("cpu")), (torch.int64, None)])
        @parametrize("x", [1, subtest(2.5, name="half", decorators=[unittest.expectedFailure])])
        def test_it(self, x, dtype, where):
            seen.append((x, dtype, where))
            self.assertEqual(x, 1)

        @parametrize("a", [0.5], name_fn="{}".format)
        def test_named(self, a):
            seen.append(a)

    instantiate_parametrized_tests(Cases)
    names = sorted(name for name in dir(Cases) if name.startswith("test_"))
    assert names == [
        "test_it_float32_cpu_half", "test_it_float32_cpu_x_1", "test_it_int64_where1_half", "test_it_int64_where1_x_1",
        "test_named_0.5",
    ]  # fmt: skip
    assert Cases.test_it_int64_where1_half.__wrapped__.__name__ == "test_it"
    assert str(inspect.signature(Cases.test_it_int64_where1_half)) == "(self)"
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Cases).run(result)
    assert (result.testsRun, len(result.expectedFailures), result.wasSuccessful()) == (5, 2, True)
    assert len(seen) == 5
    with pytest.raises(RuntimeError, match="Expected # values == # arg names"):
        parametrize("a,b", [(1,)])(lambda self, a, b: None)
    with pytest.raises(ValueError, match="empty arg_values"):
        parametrize("a", [])(lambda self, a: None)


def test_decorators_where_no_rank_runs(simulated_devices, monkeypatch):
    def skipped(decorator):
        try:
            return decorator(lambda: False)()
        except unittest.SkipTest as skip:
            return str(skip)

    monkeypatch.setenv("WORLD_SIZE", "3")
    assert skipped(common_distributed.skip_if_no_gpu) == "CUDA is not available."
    assert skipped(common_distributed.skip_if_lt_x_gpu(2, allow_cpu=True)) is False
    simulated_devices(1)
    assert skipped(common_distributed.skip_if_no_gpu) == "Need at least 3 CUDA devices"
    assert skipped(common_distributed.skip_if_lt_x_gpu(2, allow_cpu=True)) == "Need at least 2 CUDA devices"
    assert skipped(common_distributed.nccl_skip_if_lt_x_gpu("gloo", 2)) is False
    assert skipped(common_distributed.skip_if_odd_worldsize) == "Skipped due to odd world size."
    assert skipped(common_distributed.skip_if_small_worldsize) == "Skipped due to small world size."
    assert skipped(common_distributed.requires_gloo()) is False
    assert common_distributed.init_multigpu_helper(2, "nccl") == {0: [0], 1: [1]}


def test_debug_levels(monkeypatch):
    monkeypatch.setenv("TORCH_DISTRIBUTED_DEBUG", "OFF")
    seen = []
    common_distributed.with_dist_debug_levels(["INFO", "DETAIL"])(lambda: seen.append(dist.get_debug_level().name))()
    assert seen == ["INFO", "DETAIL"]
    dist.set_debug_level_from_env()
    assert dist.get_debug_level().name == "OFF"


def test_temporary_directories(monkeypatch):
    for name in ("TEMP_DIR", "INIT_METHOD"):
        monkeypatch.setenv(name, "")
    common_distributed.initialize_temp_directories()
    where = os.environ["TEMP_DIR"]
    assert sorted(os.listdir(where)) == ["barrier", "init_dir", "test_dir"]
    assert os.environ["INIT_METHOD"] == f"file://{where}/init_dir/shared_init_file"
    common_distributed.cleanup_temp_dir()
    assert not os.path.exists(where)
