"""Projections of what is archived, and of what of it is back for a while."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """An object that holds batches of a producer; `kind` is a TelemetryKind."""

    run_id: UUID
    sha256: bytes
    producer: UUID
    kind: int
    size_bytes: int
    first_batch: int
    last_batch: int
    points: int
    log_lines: int
    sealed: bool
    tree_size: int
    merkle_root: bytes
    altered: int
    archive_time: datetime
    position: int


@dataclass(frozen=True, slots=True)
class RestoredRunRow:
    """A run whose archived telemetry is back, and until when retention leaves it."""

    run_id: UUID
    until: datetime


ARCHIVES = Table("archive", ArchiveRow, ("run_id", "sha256"))
RESTORED = Table("restored_run", RestoredRunRow, ("run_id",))


class ArchiveProjector:
    """Projects archived objects; that those of a purged run are dead is for `keeping` to say."""

    name = "archives"
    tables: tuple[Table[Any], ...] = (ARCHIVES, RESTORED)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.TelemetryArchived() as told:
                rows.put(
                    ARCHIVES,
                    ArchiveRow(
                        run_id=event.stream_id,
                        sha256=told.sha256,
                        producer=UUID(told.producer),
                        kind=told.kind,
                        size_bytes=told.size_bytes,
                        first_batch=told.first_batch,
                        last_batch=told.last_batch,
                        points=told.points,
                        log_lines=told.log_lines,
                        sealed=told.sealed,
                        tree_size=told.tree_size,
                        merkle_root=told.merkle_root,
                        altered=told.altered,
                        archive_time=event.recorded_at,
                        position=event.position,
                    ),
                )
            case pb.TelemetryRestored(until=day):
                until = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
                rows.put(RESTORED, RestoredRunRow(event.stream_id, until))
            case pb.ArchiveDeleted(digests=digests):
                for digest in digests:
                    rows.delete(ARCHIVES, event.stream_id, digest)
            case _:
                return
