"""Options to configuration: a pure table."""

import pytest
from disttorch.launcher.config import LaunchConfig, Machine, Std, config_from_args, node_count, parse_endpoint
from disttorch.launcher.errors import UsageError

PLAIN = Machine(devices=0, cores=8)
WITH_GPUS = Machine(devices=4, cores=16)


def config(machine: Machine = PLAIN, **options: object) -> LaunchConfig:
    return config_from_args({"training_script": "train.py", **options}, machine)


@pytest.mark.parametrize(
    ("machine", "text", "workers", "threads"),
    [
        (PLAIN, None, 1, 8),
        (WITH_GPUS, None, 4, 4),
        (PLAIN, "3", 3, 2),
        (PLAIN, "16", 16, 1),
        (PLAIN, "cpu", 8, 1),
        (WITH_GPUS, "cpu", 16, 1),
        (WITH_GPUS, "gpu", 4, 4),
        (WITH_GPUS, "auto", 4, 4),
        (PLAIN, "auto", 8, 1),
    ],
)
def test_worker_count_and_their_threads(machine, text, workers, threads):
    made = config(machine, nproc_per_node=text)
    assert (made.nproc_per_node, made.threads_per_worker) == (workers, threads)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"kind": "script", "nnodes": 1, "node_rank": 0, "master_addr": "127.0.0.1", "master_port": 0}),
        ({"module": True}, {"kind": "module"}),
        ({"no_python": True}, {"kind": "program"}),
        ({"run_path": True}, {"kind": "script"}),
        ({"run_path": True, "no_python": True}, {"kind": "script"}),
        ({"training_script_args": ("--lr", "1")}, {"args": ("--lr", "1"), "command": "train.py --lr 1"}),
        ({"master_port": 1234}, {"master_port": 1234}),
        ({"standalone": True, "rdzv_endpoint": "x:1", "rdzv_backend": "c10d"}, {"master_port": 0, "node_rank": 0}),
        ({"nnodes": "2", "node_rank": 1}, {"nnodes": 2, "node_rank": 1, "master_port": 29500}),
        ({"nnodes": "2", "rdzv_backend": "c10d", "rdzv_endpoint": "h:7"}, {"node_rank": None, "master_port": 7}),
        ({"nnodes": "2", "rdzv_backend": "c10d", "node_rank": 1}, {"node_rank": 1}),
        ({"nnodes": "2", "rdzv_endpoint": "[::1]:7"}, {"master_addr": "::1", "master_port": 7}),
        ({"nnodes": "2", "rdzv_conf": "timeout=9, join_timeout=60"}, {"join_timeout": 60.0}),
        ({"rdzv_id": "job7", "role": "trainer"}, {"run_id": "job7", "role": "trainer"}),
        ({"redirects": "3", "nproc_per_node": "2"}, {"redirects": {0: Std.ALL, 1: Std.ALL}, "tee": {}}),
        ({"tee": "0:1,1:2", "nproc_per_node": "2"}, {"tee": {0: Std.OUT, 1: Std.ERR}}),
        ({"local_ranks_filter": "0, 2", "nproc_per_node": "3"}, {"shown": frozenset({0, 2})}),
        (
            {"max_restarts": 3, "monitor_interval": 1.5, "shutdown_timeout": 0},
            {"max_restarts": 3, "shutdown_timeout": 0},
        ),
    ],
)
def test_options(options, expected):
    made = config(**options)
    assert {name: getattr(made, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nproc_per_node": "0"}, "--nproc-per-node must be a number from 1, or auto, cpu or gpu, got '0'"),
        ({"nproc_per_node": "-1"}, "--nproc-per-node must be .* got '-1'"),
        ({"nproc_per_node": "two"}, "--nproc-per-node must be .* got 'two'"),
        ({"nproc_per_node": "gpu"}, "--nproc-per-node gpu: no CUDA device is visible"),
        ({"nnodes": "0"}, "--nnodes must be at least 1, got 0"),
        ({"nnodes": "1:4"}, "--nnodes 1:4: a changing number of nodes is not supported"),
        ({"nnodes": "a"}, "--nnodes must be a number"),
        ({"nnodes": "2", "node_rank": 2}, r"--node-rank must be from 0 to 1 \(--nnodes is 2\), got 2"),
        ({"node_rank": -1}, "--node-rank must be from 0 to 0"),
        ({"master_port": 65536}, "--master-port must be a port from 0 to 65535, got 65536"),
        ({"rdzv_backend": "etcd"}, "--rdzv-backend must be static or c10d, got 'etcd'"),
        ({"rdzv_conf": "join_timeout"}, "--rdzv-conf must be KEY=VALUE,KEY=VALUE,… with keys of join_timeout, timeout"),
        ({"rdzv_conf": "jointimeout=3"}, "got 'jointimeout=3'"),
        ({"rdzv_conf": "join_timeout=soon"}, "--rdzv-conf join_timeout must be a number of seconds from 1, got 'soon'"),
        ({"rdzv_endpoint": "host:port"}, "--rdzv-endpoint must be HOST:PORT"),
        ({"rdzv_endpoint": "host:99999"}, "--rdzv-endpoint must be HOST:PORT"),
        ({"standalone": True, "nnodes": "2"}, "--standalone is for one node, got --nnodes 2"),
        ({"max_restarts": -1}, "--max-restarts must be at least 0, got -1"),
        ({"monitor_interval": 0.0}, "--monitor-interval must be more than 0 seconds, got 0.0"),
        ({"shutdown_timeout": -1.0}, "--shutdown-timeout must be at least 0 seconds"),
        ({"redirects": "4"}, "--redirects must be 0 to 3, or"),
        ({"tee": "0:9"}, "--tee must be 0 to 3, or"),
        ({"tee": "5:1"}, r"--tee: there is no local rank 5 among 1"),
        ({"local_ranks_filter": "0,x"}, "--local-ranks-filter must be local ranks such as 0,2, got '0,x'"),
        ({"local_ranks_filter": "1"}, "--local-ranks-filter: there is no local rank 1 among 1"),
        ({"module": True, "no_python": True}, "--no-python and --module exclude each other"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        config(**options)


def test_a_configuration_needs_no_command_line():
    assert LaunchConfig("train.py", nproc_per_node=2).command == "train.py"
    with pytest.raises(UsageError, match="--nproc-per-node must be at least 1, got 0"):
        LaunchConfig("train.py", nproc_per_node=0)


@pytest.mark.parametrize(("text", "nodes"), [("1", 1), ("3", 3), ("2:2", 2)])
def test_node_count(text, nodes):
    assert node_count(text) == nodes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("host", ("host", None)), ("host:80", ("host", 80)), ("[::1]:80", ("::1", 80)), ("[fe80::2]", ("fe80::2", None))],
)
def test_endpoint(text, expected):
    assert parse_endpoint(text) == expected
