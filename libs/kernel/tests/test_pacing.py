"""A busy consumer leaves room, an idle one does not wait."""

from epochal_kernel.projections.pacing import LEAST_S, MOST_S, Pace


def test_the_first_batch_after_a_quiet_moment_does_not_wait():
    pace = Pace()
    assert pace.left_s(0.0) <= 0
    pace.told(10.0)
    assert pace.left_s(10.0 + LEAST_S) <= 1e-9


def test_a_slow_batch_lets_the_next_one_grow_but_not_for_long():
    pace = Pace()
    pace.applied(1.0, 1.05)
    pace.told(1.05)
    assert round(pace.left_s(1.05), 6) == 0.1
    pace.applied(1.0, 9.0)
    assert round(pace.left_s(1.05), 6) == MOST_S
