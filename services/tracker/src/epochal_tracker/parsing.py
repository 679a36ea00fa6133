"""Batches of telemetry taken apart into rows; what no table takes is refused, not thrown away."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

import epochal_proto.v1 as pb
import structlog
from google.protobuf.message import DecodeError

from epochal_tracker.columns import MAX_COLUMN_BYTES
from epochal_tracker.feeding import summary_of
from epochal_tracker.store.ingest import ChunkRow, LogRow, NewBatch, Refusal, chunk_row

#: Characters of a metric's name, and of the reason of a refusal.
MAX_NAME = 250
REASON = 1_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parsed:
    """One message taken apart."""

    batch: NewBatch
    chunks: Sequence[ChunkRow]
    log: LogRow | None
    refusal: Refusal | None = None
    columns: Sequence[pb.PointColumn] = ()

    def summary(self) -> pb.BatchSummary:
        """Return what it says; a batch of log lines, or one that was refused, says it was there."""
        return summary_of(self.batch.run_id, self.batch.producer, self.batch.batch, self.columns)

    def refused(self, reason: str) -> Parsed:
        """Return it as a batch that is remembered and holds nothing."""
        batch = self.batch
        refusal = Refusal(
            batch.run_id,
            batch.producer,
            batch.batch,
            batch.run,
            batch.points,
            batch.lines,
            reason[:REASON],
        )
        return Parsed(replace(batch, points=0, lines=0), (), None, refusal)


def once(parsed: Sequence[Parsed]) -> list[Parsed]:
    """Keep the first of batches that came twice at once, as after a resend."""
    known: dict[tuple[UUID, UUID, int], Parsed] = {}
    for item in parsed:
        batch = item.batch
        known.setdefault((batch.run_id, batch.producer, batch.batch), item)
    return list(known.values())


def parse(data: bytes, today: date) -> Parsed | None:
    """Take a message apart; one of which nobody can say whose it is is logged and left out."""
    try:
        batch = pb.TelemetryBatch.FromString(data)
        run_id, producer = UUID(batch.run.rsplit("/", 1)[-1]), UUID(batch.producer)
        if batch.batch < 1:
            raise ValueError(f"batch {batch.batch}")
    except (DecodeError, ValueError) as error:
        _log.error("sink.unreadable_batch", error=repr(error), bytes=len(data))
        return None
    digest = hashlib.sha256(batch.payload).digest()
    row = NewBatch(run_id, producer, batch.batch, batch.kind, 0, 0, digest, batch.run)
    try:
        if batch.kind == pb.TELEMETRY_KIND_POINTS:
            columns = pb.PointColumns.FromString(batch.payload).columns
            row = replace(row, points=sum(max(0, column.points) for column in columns))
            chunks = [
                chunk_row(run_id, producer, batch.batch, part, column, today)
                for part, column in enumerate(columns)
            ]
            reason = next((why for column in columns if (why := unfit(column))), "")
            found = Parsed(row, chunks, None, columns=columns)
        else:
            content = pb.LogLines.FromString(batch.payload)
            row = replace(row, lines=max(0, content.lines))
            reason = "it says that it has less than no lines" if content.lines < 0 else ""
            log = LogRow(
                run_id, producer, batch.batch, content.first_line, content.lines, content.block
            )
            found = Parsed(row, (), log)
    except DecodeError as error:
        found, reason = Parsed(row, (), None), f"its payload is damaged: {error}"
    if reason:
        _log.error("sink.refused_batch", run=batch.run, batch=batch.batch, error=reason)
        return found.refused(reason)
    return found


def unfit(column: pb.PointColumn) -> str:
    """Return why a column cannot be stored; nothing when it can, as far as its outside tells."""
    name = column.metric
    if not 0 < len(name) <= MAX_NAME or "\0" in name:
        return f"a metric's name has 1 to {MAX_NAME} characters and no NUL, unlike {name[:50]!r}"
    if not 0 < 8 * column.points <= MAX_COLUMN_BYTES:
        return f"a column of {name!r} cannot have {column.points} points"
    if column.first_step > column.last_step or column.first_time_us > column.last_time_us:
        return f"a column of {name!r} ends before it begins"
    return ""
