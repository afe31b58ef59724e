"""The plans as tables, and run without any I/O."""

from itertools import pairwise

import pytest
from disttorch.comm import plans
from disttorch.comm.direct import bounds
from disttorch.comm.plans import Round

SIZES = [1, 2, 3, 4, 5, 7, 8, 13]


def run(all_plans, held):
    """Carry out all ranks' plans together; held[rank][part] is a set of (rank, part) contributions."""
    queues, at, done = {}, [0] * len(all_plans), 0
    sent = [-1] * len(all_plans)
    messages = 0
    while done < len(all_plans):
        done, moved = 0, False
        for rank, plan in enumerate(all_plans):
            if at[rank] == len(plan):
                done += 1
                continue
            step = plan[at[rank]]
            if sent[rank] < at[rank]:
                for peer, part in step.sends:
                    queues.setdefault((rank, peer), []).append(frozenset(held[rank][part]))
                    messages += 1
                sent[rank], moved = at[rank], True
            if all(queues.get((peer, rank)) for peer, _ in step.receives):
                for peer, part in step.receives:
                    got = queues[peer, rank].pop(0)
                    if step.combine:
                        assert not got & held[rank][part], "something is added twice"
                    held[rank][part] = got | held[rank][part] if step.combine else set(got)
                at[rank] += 1
                moved = True
        assert moved or done == len(all_plans), "deadlock"
    assert not any(queues.values()), "a message nobody received"
    return messages


def parts(n, pieces):
    return [[{(rank, part)} for part in range(pieces)] for rank in range(n)]


def test_ring_of_three():
    assert plans.ring_reduce_scatter(0, 3) == [
        Round(((1, 2),), ((2, 1),), True),
        Round(((1, 1),), ((2, 0),), True),
    ]
    assert plans.ring_all_gather(0, 3) == [Round(((1, 0),), ((2, 2),)), Round(((1, 2),), ((2, 1),))]


def test_tree_of_five():
    assert plans.tree_broadcast(0, 5, 0) == [Round(((4, 0), (2, 0), (1, 0)))]
    assert plans.tree_broadcast(2, 5, 0) == [Round(receives=((0, 0),)), Round(((3, 0),))]
    assert plans.tree_broadcast(3, 5, 0) == [Round(receives=((2, 0),))]
    assert plans.tree_reduce(2, 5, 0) == [Round(receives=((3, 0),), combine=True), Round(((0, 0),))]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    ("scatter", "gather"),
    [
        (plans.ring_reduce_scatter, plans.ring_all_gather),
        (plans.direct_reduce_scatter, plans.direct_all_gather),
    ],
)
def test_reduce_scatter_then_all_gather(n, scatter, gather):
    held = parts(n, n)
    messages = run([scatter(rank, n) for rank in range(n)], held)
    for rank in range(n):
        assert held[rank][rank] == {(other, rank) for other in range(n)}
    messages += run([gather(rank, n) for rank in range(n)], held)
    for rank in range(n):
        assert held[rank] == [{(other, part) for other in range(n)} for part in range(n)]
    assert messages == 2 * n * (n - 1)


@pytest.mark.parametrize("n", SIZES)
def test_exchange_and_trees(n):
    held = parts(n, 1)
    run([plans.direct_exchange(rank, n) for rank in range(n)], held)
    assert all(held[rank][0] == {(other, 0) for other in range(n)} for rank in range(n))
    for root in range(n):
        held = parts(n, 1)
        assert run([plans.tree_reduce(rank, n, root) for rank in range(n)], held) == n - 1
        assert held[root][0] == {(other, 0) for other in range(n)}
        held = parts(n, 1)
        assert run([plans.tree_broadcast(rank, n, root) for rank in range(n)], held) == n - 1
        assert all(held[rank][0] == {(root, 0)} for rank in range(n))


@pytest.mark.parametrize("n", SIZES)
def test_everyone_hears_from_everyone(n):
    held = parts(n, 1)
    all_plans = [[step._replace(combine=True) for step in plans.dissemination(rank, n)] for rank in range(n)]
    rounds = max(len(plan) for plan in all_plans)
    assert 2**rounds >= n
    heard = [{rank} for rank in range(n)]
    for index in range(rounds):
        before = [set(h) for h in heard]
        for rank, plan in enumerate(all_plans):
            for peer, _ in plan[index].receives:
                assert all_plans[peer][index].sends == ((rank, 0),)
                heard[rank] |= before[peer]
    assert all(h == set(range(n)) for h in heard)
    assert held == parts(n, 1)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000, 10**6 + 1])
@pytest.mark.parametrize("pieces", [1, 2, 3, 8])
def test_bounds(count, pieces):
    cuts = bounds(count, pieces)
    assert len(cuts) == pieces + 1
    assert cuts[0] == 0
    assert cuts[-1] == count
    assert cuts == sorted(cuts)
    assert all(cut % 64 == 0 or cut == count for cut in cuts)
    assert max(high - low for low, high in pairwise(cuts)) <= count / pieces + 64
