"""torch.distributed.elastic's small rooms: metrics, and the data of jobs that go on where they were."""

import pytest

from disttorch.distributed.elastic import metrics
from disttorch.distributed.elastic.metrics import api
from disttorch.distributed.elastic.utils import logging
from disttorch.distributed.elastic.utils.data import CyclingIterator, ElasticDistributedSampler
from disttorch.utils.data.distributed import DistributedSampler


class Kept(metrics.MetricHandler):
    def __init__(self):
        self.data = []

    def emit(self, metric_data):
        self.data.append(metric_data)

    @property
    def names(self):
        return [(d.group_name, d.name) for d in self.data]


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(api, "_handlers", dict(api._handlers))
    handler = Kept()
    metrics.configure(handler)
    return handler


class Thing:
    @metrics.prof
    def works(self):
        """Its text."""
        return 7

    @metrics.prof(group="others")
    def fails(self):
        raise KeyError


def test_calls_are_measured(kept):
    assert Thing().works() == 7
    assert Thing.works.__doc__ == "Its text."
    with pytest.raises(KeyError):
        Thing().fails()
    assert kept.names == [
        ("torchelastic", "Thing.works.success"),
        ("torchelastic", "Thing.works.duration.ms"),
        ("others", "Thing.fails.failure"),
        ("others", "Thing.fails.duration.ms"),
    ]
    assert kept.data[0].value == 1
    assert 0 <= kept.data[1].value < 60_000


def test_a_group_may_have_its_own_handler(kept, capsys):
    metrics.configure(metrics.ConsoleMetricHandler(), "printed")
    metrics.put_metric("a", 1, "printed")
    metrics.put_metric("b", 2)
    assert capsys.readouterr().out.endswith("[printed]: a=1\n")
    assert kept.names == [("torchelastic", "b")]
    with pytest.warns(FutureWarning, match="use `put_metric"):
        metrics.publish_metric("g", "c", 3)
    with pytest.warns(FutureWarning, match="use `@prof`"):
        metrics.profile("g")(lambda: None)()
    assert kept.names[1:] == [("g", "c"), ("g", "<lambda>.success"), ("g", "<lambda>.duration.ms")]
    assert api._get_metric_name(test_calls_are_measured) == "test_elastic_rooms.test_calls_are_measured"


def test_without_a_handler_nothing_happens(capsys):
    metrics.put_metric("a", 1)
    assert capsys.readouterr().out == ""


def test_an_epoch_goes_on_where_it_was():
    shares = [list(ElasticDistributedSampler(range(10), 2, rank, start_index=3)) for rank in range(2)]
    assert [len(s) for s in shares] == [4, 4]  # seven left: one twice
    assert sorted(set(shares[0] + shares[1])) == list(range(3, 10))
    whole = ElasticDistributedSampler(range(10), 2, 1)
    assert len(whole) == 5
    assert list(whole) == list(DistributedSampler(range(10), 2, 1))
    with pytest.raises(ValueError, match="Start index 10 should be less than dataset size 10"):
        ElasticDistributedSampler(range(10), 2, 0, start_index=10)


def test_epochs_one_after_another():
    assert list(CyclingIterator(3, lambda epoch: iter([epoch, -epoch]), start_epoch=1)) == [1, -1, 2, -2]


def test_loggers_are_named():
    assert logging.get_logger().name == __name__
    assert logging.get_logger("other").name == "other"
