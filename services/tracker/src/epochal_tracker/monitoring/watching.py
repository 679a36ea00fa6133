"""What is kept of one run that is watched, and what a summary makes of it. Pure.

Kept in a Faust table as bytes. `seen` makes a summary count once: of each producer the last batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

import epochal_proto.v1 as pb

from epochal_tracker.domain.judging import ColumnSummary, Memory, Verdict, judge, watches

#: Weight of the newest pause between batches in the usual one.
NEWEST = 0.2


@dataclass(frozen=True, slots=True)
class Watch:
    """One run.

    Attributes:
        seen: last batch by producer, hex.
        memories: of rules, by "RULE METRIC"; a name of a rule has no space.
        points: counted so far.
        last_us: when the last batch was persisted; 0 before the first.
        last_step: of the last point.
        lag_us: between the last point's own time and its batch being persisted.
        pause_s: usual time between batches; 0 while it is not known.
        stalled: names of stall rules that hold.
    """

    seen: Mapping[str, int] = field(default_factory=dict)
    memories: Mapping[str, Memory] = field(default_factory=dict)
    points: int = 0
    last_us: int = 0
    last_step: int = 0
    lag_us: int = 0
    pause_s: float = 0.0
    stalled: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """Return it as bytes."""
        memories = {name: _MEMORY(one) for name, one in self.memories.items()}
        return json.dumps((self.seen, memories, *_REST(self)), separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Watch:
        """Return it from bytes; none is a run that was not watched before."""
        if not data:
            return cls()
        seen, packed, *rest, stalled = json.loads(data)
        memories: dict[str, Memory] = {}
        for name, (*values, recent) in packed.items():
            memories[name] = Memory(*[*values, tuple(recent)])
        return cls(*[seen, memories, *rest, tuple(stalled)])


_NOTHING = Memory()
_MEMORY = attrgetter("first", "best", "since_best", "streak", "open", "recent")
_REST = attrgetter("points", "last_us", "last_step", "lag_us", "pause_s", "stalled")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A verdict on a rule and a metric; `step` is of the last point it was judged by."""

    rule: pb.AlertRule
    metric: str
    verdict: Verdict
    step: int


def next_batch(watch: Watch, summary: pb.BatchSummary) -> int:
    """Return the batch that is wanted next of a summary's producer."""
    return watch.seen.get(summary.producer.hex(), 0) + 1


def observe(
    watch: Watch, rules: Mapping[str, pb.AlertRule], summary: pb.BatchSummary
) -> tuple[Watch, Sequence[Proposal]]:
    """Show a watched run the next batch; one that was seen changes nothing."""
    if summary.batch < next_batch(watch, summary):
        return watch, ()
    proposals: list[Proposal] = []
    memories = dict(watch.memories)
    columns = summary.columns
    for rule in rules.values():
        for column in _shown(rule, memories, columns):
            key = f"{rule.name} {column.metric}"
            memory, verdict = judge(rule, memories.get(key, _NOTHING), column)
            if memory != _NOTHING:
                memories[key] = memory
            elif key in memories:
                del memories[key]
            if verdict is not None:
                proposals.append(Proposal(rule, column.metric, verdict, column.last_step))
    watch = replace(
        watch,
        seen={**watch.seen, summary.producer.hex(): summary.batch},
        memories=memories,
    )
    if not columns.metrics:
        return watch, proposals
    last_time_us = max(columns.last_times_us)
    pause_s = watch.pause_s
    if watch.last_us and summary.time_us > watch.last_us:
        newest = (summary.time_us - watch.last_us) / 1e6
        pause_s = newest if pause_s == 0 else (1 - NEWEST) * pause_s + NEWEST * newest
    watch = replace(
        watch,
        points=watch.points + sum(columns.points),
        last_us=max(watch.last_us, summary.time_us),
        last_step=columns.last_steps[list(columns.last_times_us).index(last_time_us)],
        lag_us=max(0, summary.time_us - last_time_us),
        pause_s=pause_s,
    )
    return watch, proposals


def _shown(
    rule: pb.AlertRule, memories: Mapping[str, Memory], columns: pb.ColumnSummaries
) -> Iterator[ColumnSummary]:
    """Yield the columns that can change what a rule says or remembers.

    The rule that every run has looks at every metric: where all values are numbers, and were
    before, it is passed over without a look at each.
    """
    sober = rule.WhichOneof("condition") == "not_a_number"
    if sober and not memories and not any(columns.odds):
        return
    for place, metric in enumerate(columns.metrics):
        if not watches(rule, metric):
            continue
        if sober and not columns.odds[place] and f"{rule.name} {metric}" not in memories:
            continue
        yield ColumnSummary(
            metric,
            columns.points[place],
            columns.last_steps[place],
            columns.last_times_us[place],
            columns.mins[place],
            columns.maxs[place],
            columns.lasts[place],
            columns.odds[place],
        )
