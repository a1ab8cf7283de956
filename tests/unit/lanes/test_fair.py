"""Start-time fair queueing between teams."""

from hypothesis import given
from hypothesis import strategies as st

from evalwindow.lanes.fair import FairQueue


def served(queue, costs, rounds):
    """Serve the first head so many times; the order of teams."""
    order = []
    for _ in range(rounds):
        key = next(queue.heads())
        queue.serve(key, team=key[0], cost=costs[key[0]])
        order.append(key[0])
    return order


def filled(**backlogs):
    queue = FairQueue()
    for team, count in backlogs.items():
        for number in range(count):
            queue.push((team, number), team=team)
    return queue


def test_one_teams_long_prompts_are_worth_many_short_ones_of_another():
    queue = filled(long=20, short=200)
    order = served(queue, {"long": 1000, "short": 100}, 110)
    assert 9 <= order.count("long") <= 11


def test_within_a_team_first_come_is_first_served():
    queue = filled(a=3)
    assert [next(queue.heads()) for _ in [0]] == [("a", 0)]
    queue.serve(("a", 0), team="a", cost=5)
    assert next(queue.heads()) == ("a", 1)


def test_a_team_that_idled_saved_nothing_up_and_owes_nothing():
    queue = filled(busy=50)
    served(queue, {"busy": 100}, 40)
    queue.push(("late", 0), team="late")
    queue.push(("late", 1), team="late")
    queue.push(("late", 2), team="late")
    assert served(queue, {"busy": 100, "late": 100}, 6).count("late") == 3


def test_what_turned_out_dearer_is_paid_later():
    queue = filled(a=10, b=10)
    served(queue, {"a": 10, "b": 10}, 2)
    queue.correct(team="a", cost=50)
    assert served(queue, {"a": 10, "b": 10}, 5) == ["b"] * 5


def test_who_leaves_the_queue_is_not_served():
    queue = filled(a=2)
    queue.remove(("a", 0), team="a")
    assert list(queue.heads()) == [("a", 1)]
    assert (len(queue), len(list(queue.heads()))) == (1, 1)


def test_teams_that_have_gone_are_forgotten():
    queue = filled(**{f"t{number}": 1 for number in range(50)})
    for number in range(50):
        queue.remove((f"t{number}", 0), team=f"t{number}")
    assert not queue._teams


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), min_size=1, max_size=60))
def test_two_hungry_teams_never_lie_further_apart_than_their_two_dearest_prompts(prompts):
    queue, paid = FairQueue(), {}
    for number, (team, cost) in enumerate(prompts):
        queue.push((team, number, cost), team=team)
    while len(list(queue.heads())) > 1:
        key = next(queue.heads())
        queue.serve(key, team=key[0], cost=key[2])
        paid[key[0]] = paid.get(key[0], 0) + key[2]
        hungry = [paid.get(head[0], 0) for head in queue.heads()]
        dearest = max(cost for _, cost in prompts)
        assert max(hungry) - min(hungry) <= 2 * dearest
