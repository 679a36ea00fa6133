"""Rules about metrics: when they begin to hold, when they cease, and that nothing is said twice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import epochal_proto.v1 as pb
import pytest
from epochal_tracker.domain.judging import (
    NOT_A_NUMBER,
    ColumnSummary,
    Memory,
    Verdict,
    judge,
    rules_in_force,
    stalled_after_s,
    watches,
)
from hypothesis import given
from hypothesis import strategies as st

Batch = Sequence[float]


def column(values: Batch, metric: str = "loss") -> ColumnSummary:
    numbers = [value for value in values if not math.isnan(value)]
    return ColumnSummary(
        metric=metric,
        points=len(values),
        last_step=0,
        last_time_us=0,
        min=min(numbers, default=math.nan),
        max=max(numbers, default=math.nan),
        last=values[-1],
        odd=sum(1 for value in values if not math.isfinite(value)),
    )


def verdicts(rule: pb.AlertRule, *batches: Batch) -> list[bool | None]:
    """For each batch: True where the rule begins to hold, False where it ceases, else None."""
    memory, said = Memory(), []
    for batch in batches:
        memory, verdict = judge(rule, memory, column(batch))
        said.append(None if verdict is None else verdict.raised)
    return said


def threshold(**more: float) -> pb.AlertRule:
    return pb.AlertRule(name="r", metric="loss", threshold=pb.ThresholdCondition(**more))  # type: ignore[arg-type]  # fields of the condition


def test_a_value_beyond_a_threshold_raises_until_a_batch_is_as_it_should_be() -> None:
    rule = threshold(above=10)
    assert verdicts(rule, [1, 2], [3, 11, 4], [12], [5, 10]) == [None, True, None, False]
    assert verdicts(threshold(below=0), [1], [-1, 3], [0]) == [None, True, False]
    between = threshold(above=10, below=0)
    assert verdicts(between, [5], [-1], [11], [3]) == [None, True, None, False]


def test_a_threshold_may_have_to_be_broken_for_batches_in_a_row() -> None:
    rule = threshold(above=10, for_batches=3)
    assert verdicts(rule, [11], [12, 13], [9, 14], [11], [11], [11], [11], [3]) == [
        None,
        None,
        None,
        None,
        None,
        True,
        None,
        False,
    ]


def test_values_that_are_no_numbers_break_no_threshold() -> None:
    assert verdicts(threshold(above=10), [math.nan], [11], [math.nan], [1]) == [
        None,
        True,
        None,
        False,
    ]
    assert verdicts(threshold(above=10), [math.inf]) == [True]


def test_nan_and_infinities_are_found_anywhere_in_a_batch() -> None:
    assert verdicts(NOT_A_NUMBER, [1], [1, math.nan, 2], [3], [-math.inf, 1]) == [
        None,
        True,
        False,
        True,
    ]


def test_a_change_is_relative_to_the_value_before() -> None:
    rule = pb.AlertRule(name="r", change=pb.ChangeCondition(percent=50))
    assert verdicts(rule, [10], [14], [22], [21], [5]) == [None, None, True, False, True]
    wide = pb.AlertRule(name="r", change=pb.ChangeCondition(percent=50, over_batches=2))
    assert verdicts(wide, [10], [13], [16], [17]) == [None, None, True, False]
    assert verdicts(rule, [0], [5], [math.nan], [5]) == [None, None, None, None]


def test_a_plateau_is_counted_in_points_and_ends_with_a_better_value() -> None:
    rule = pb.AlertRule(name="r", plateau=pb.PlateauCondition(points=4, min_delta=0.1))
    assert verdicts(rule, [1.0], [0.95, 1.0], [0.99, 1.1], [0.5]) == [None, None, True, False]
    up = pb.AlertRule(name="r", plateau=pb.PlateauCondition(points=2, goal=pb.ALERT_GOAL_MAXIMIZE))
    assert verdicts(up, [1.0], [0.5], [0.7], [2.0]) == [None, None, True, False]


def test_a_metric_diverges_when_it_is_further_from_its_best_than_it_began() -> None:
    rule = pb.AlertRule(name="r", divergence=pb.DivergenceCondition(factor=2))
    assert verdicts(rule, [10.0], [4.0], [10.0], [17.0], [5.0]) == [None, None, None, True, False]


@given(
    st.lists(st.lists(st.floats(), min_size=1, max_size=4), max_size=20),
    st.sampled_from(
        [
            threshold(above=1.0),
            threshold(below=0.0, above=1.0, for_batches=2),
            NOT_A_NUMBER,
            pb.AlertRule(name="r", change=pb.ChangeCondition(percent=10)),
            pb.AlertRule(name="r", plateau=pb.PlateauCondition(points=3)),
            pb.AlertRule(name="r", divergence=pb.DivergenceCondition(factor=1)),
            pb.AlertRule(name="r", never=pb.NeverCondition()),
        ]
    ),
)
def test_verdicts_alternate_and_begin_with_a_raise(
    batches: list[list[float]], rule: pb.AlertRule
) -> None:
    said = [one for one in verdicts(rule, *batches) if one is not None]
    assert said == [place % 2 == 0 for place in range(len(said))]


def test_words_name_metric_and_value() -> None:
    _, verdict = judge(threshold(above=10), Memory(), column([11]))
    assert verdict == Verdict(True, 11.0, "loss is 11, above 10")


def test_rules_of_a_run_replace_the_one_that_is_there_by_itself() -> None:
    assert rules_in_force({}) == {NOT_A_NUMBER.name: NOT_A_NUMBER}
    off = pb.AlertRule(name=NOT_A_NUMBER.name, never=pb.NeverCondition())
    assert rules_in_force({off.name: off}) == {off.name: off}
    assert not watches(off, "loss")
    assert watches(NOT_A_NUMBER, "anything")
    assert not watches(threshold(above=1), "other")
    assert not watches(pb.AlertRule(name="s", stall=pb.StallCondition(seconds=1)), "loss")


@pytest.mark.parametrize(
    ("condition", "pause_s", "limit_s"),
    [
        (pb.StallCondition(seconds=3), 100.0, 3.0),
        (pb.StallCondition(intervals=3), 20.0, 60.0),
        (pb.StallCondition(intervals=3), 0.5, 10.0),
    ],
)
def test_a_stall_is_in_seconds_or_in_usual_pauses(
    condition: pb.StallCondition, pause_s: float, limit_s: float
) -> None:
    assert stalled_after_s(condition, pause_s) == limit_s
