"""Rules about metrics: what a batch of points says to a rule that remembers the batches before.

Pure. A rule sees summaries, never points: least, greatest and last value of a batch, and how many
values were no numbers. What it remembers is small and can be made again from the same summaries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import epochal_proto.v1 as pb

#: The rule that every run has by itself; a rule of this name takes its place.
NOT_A_NUMBER = pb.AlertRule(
    name="not-a-number",
    severity=pb.ALERT_SEVERITY_WARNING,
    not_a_number=pb.NotANumberCondition(),
)

#: No stall is shorter, however often batches come.
LEAST_STALL_S = 10.0


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """What a batch says of one metric; the fields are those of `pb.ColumnSummaries`."""

    metric: str
    points: int
    last_step: int
    last_time_us: int
    min: float
    max: float
    last: float
    odd: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What one rule remembers of one metric.

    Attributes:
        first: first value that was a number; None before it.
        best: best value so far; None before the first.
        since_best: points since the best became better.
        streak: batches in a row that broke the rule altogether.
        open: whether the rule holds.
        recent: last values of the batches before, the oldest first.
    """

    first: float | None = None
    best: float | None = None
    since_best: int = 0
    streak: int = 0
    open: bool = False
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule begins or ceases to hold.

    Attributes:
        raised: whether it begins.
        value: that decided it; NaN when none did.
        words: why, for people.
    """

    raised: bool
    value: float
    words: str


def watches(rule: pb.AlertRule, metric: str) -> bool:
    """Whether a rule is about a metric's values."""
    kind = rule.WhichOneof("condition")
    return kind not in (None, "never", "stall") and rule.metric in ("", metric)


def rules_in_force(declared: dict[str, pb.AlertRule]) -> dict[str, pb.AlertRule]:
    """Return the rules of a run: those declared, and those that are there by themselves."""
    return {NOT_A_NUMBER.name: NOT_A_NUMBER, **declared}


def judge(
    rule: pb.AlertRule, memory: Memory, column: ColumnSummary
) -> tuple[Memory, Verdict | None]:
    """Show a rule the next batch of a metric.

    Returns:
        What it remembers from now on, and a verdict when it begins or ceases to hold.
    """
    memory, breach, words = _breach(rule, memory, column)
    if (breach is not None) == memory.open:
        return memory, None
    memory = replace(memory, open=breach is not None)
    if breach is None:
        return memory, Verdict(False, column.last, f"{column.metric} is {column.last:g} again")
    return memory, Verdict(True, breach, words)


def _breach(
    rule: pb.AlertRule, memory: Memory, column: ColumnSummary
) -> tuple[Memory, float | None, str]:
    match rule.WhichOneof("condition"):
        case "threshold":
            return _threshold(rule.threshold, memory, column)
        case "change":
            return _change(rule.change, memory, column)
        case "not_a_number":
            found = column.last if not math.isfinite(column.last) else math.nan
            words = f"{column.metric} has {column.odd} values that are no numbers"
            return memory, found if column.odd else None, words
        case "plateau":
            return _plateau(rule.plateau, memory, column)
        case "divergence":
            return _divergence(rule.divergence, memory, column)
        case _:
            return memory, None, ""


def _threshold(
    condition: pb.ThresholdCondition, memory: Memory, column: ColumnSummary
) -> tuple[Memory, float | None, str]:
    if math.isnan(column.min):
        return memory, column.last if memory.open else None, ""
    high = condition.HasField("above") and column.max > condition.above
    low = condition.HasField("below") and column.min < condition.below
    value = column.max if high else column.min
    bound = condition.above if high else condition.below
    words = f"{column.metric} is {value:g}, {'above' if high else 'below'} {bound:g}"
    if condition.for_batches <= 1:
        return memory, value if high or low else None, words
    altogether = (condition.HasField("above") and column.min > condition.above) or (
        condition.HasField("below") and column.max < condition.below
    )
    memory = replace(memory, streak=memory.streak + 1 if altogether else 0)
    held = memory.streak >= condition.for_batches
    return memory, value if held else None, f"{words} for {memory.streak} batches"


def _change(
    condition: pb.ChangeCondition, memory: Memory, column: ColumnSummary
) -> tuple[Memory, float | None, str]:
    if not math.isfinite(column.last):
        return memory, column.last if memory.open else None, ""
    over = max(1, condition.over_batches)
    before = memory.recent[-over] if len(memory.recent) >= over else None
    memory = replace(memory, recent=(*memory.recent, column.last)[-over:])
    if before is None or before == 0:
        return memory, None, ""
    percent = 100 * (column.last - before) / abs(before)
    words = f"{column.metric} went from {before:g} to {column.last:g}, {percent:+.1f} %"
    return memory, column.last if abs(percent) >= condition.percent else None, words


def _plateau(
    condition: pb.PlateauCondition, memory: Memory, column: ColumnSummary
) -> tuple[Memory, float | None, str]:
    memory = _remember_best(memory, condition.goal, condition.min_delta, column)
    words = f"{column.metric} has not become better for {memory.since_best} points"
    return memory, column.last if memory.since_best >= condition.points else None, words


def _divergence(
    condition: pb.DivergenceCondition, memory: Memory, column: ColumnSummary
) -> tuple[Memory, float | None, str]:
    memory = _remember_best(memory, condition.goal, 0.0, column)
    if memory.best is None or memory.first is None or not math.isfinite(column.last):
        return memory, column.last if memory.open else None, ""
    distance = abs(column.last - memory.best)
    allowed = max(condition.min_delta, condition.factor * abs(memory.first - memory.best))
    words = f"{column.metric} is {column.last:g}, far from its best, {memory.best:g}"
    return memory, column.last if distance > allowed else None, words


def _remember_best(
    memory: Memory, goal: pb.AlertGoal, min_delta: float, column: ColumnSummary
) -> Memory:
    upwards = goal == pb.ALERT_GOAL_MAXIMIZE
    value = column.max if upwards else column.min
    if not math.isfinite(value):
        return replace(memory, since_best=memory.since_best + column.points)
    first = value if memory.first is None else memory.first
    gained = None if memory.best is None else (value - memory.best) * (1 if upwards else -1)
    if gained is None or gained > min_delta:
        return replace(memory, first=first, best=value, since_best=0)
    return replace(memory, first=first, since_best=memory.since_best + column.points)


def stalled_after_s(condition: pb.StallCondition, usual_pause_s: float) -> float:
    """Return for how long no points may come before a run counts as stalled."""
    if condition.seconds:
        return float(condition.seconds)
    return max(LEAST_STALL_S, max(1, condition.intervals) * usual_pause_s)
