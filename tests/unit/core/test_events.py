import numpy as np
import pytest

from modelferry.core.events import EventSet, join


def some_events(n: int, source: str) -> EventSet:
    events = [{"x": np.full((i + 1, 9), i, np.float32)} for i in range(n)]
    return EventSet(events, np.arange(n, dtype=np.int64), np.linspace(1, 2, n), source)


def test_join_keeps_every_event_with_its_label_and_weight() -> None:
    first, second = some_events(3, "a.root"), some_events(2, "b.root")
    joined = join([first, second])
    assert len(joined) == 5
    assert joined.labels.tolist() == [0, 1, 2, 0, 1]
    assert joined.weights.tolist() == [*first.weights, *second.weights]
    assert joined.events[3] is second.events[0]
    assert joined.source == "a.root, b.root"


def test_join_of_nothing_is_an_empty_set_of_the_right_types() -> None:
    empty = join([])
    assert len(empty) == 0
    assert (empty.labels.dtype, empty.weights.dtype) == (np.int64, np.float64)


@pytest.mark.parametrize("chosen", [np.array([False, True, False, True]), np.array([1, 3])])
def test_take_keeps_events_labels_and_weights_together(chosen: np.ndarray) -> None:
    events = some_events(4, "a.root")
    taken = events.take(chosen)
    assert taken.labels.tolist() == [1, 3]
    assert [len(event["x"]) for event in taken.events] == [2, 4]
    assert taken.weights.tolist() == [events.weights[1], events.weights[3]]


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        EventSet([], np.zeros(1, np.int64), np.zeros(0), "a.root")
