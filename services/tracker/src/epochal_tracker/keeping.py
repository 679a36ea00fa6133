"""Projections of what is hidden, kept and deleted: truncations, retention, purges, dead objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table

from epochal_tracker.rows import ARTIFACTS


@dataclass(frozen=True, slots=True)
class TruncationRow:
    """From which step on points of a producer are hidden."""

    run_id: UUID
    producer: UUID
    from_step: int


@dataclass(frozen=True, slots=True)
class RetentionRow:
    """Days that a project keeps, by kind; 0 is for ever."""

    project: str
    metrics_days: int
    system_metrics_days: int
    logs_days: int
    artifacts_days: int
    spans_days: int
    metrics_archived: bool = False
    system_metrics_archived: bool = False
    logs_archived: bool = False

    @property
    def archives_points(self) -> bool:
        """Whether batches of points are archived, which are whole or not at all."""
        return self.metrics_archived or self.system_metrics_archived


@dataclass(frozen=True, slots=True)
class NeededRunRow:
    """A run that a registered model version was made by, and the artifact that it is."""

    run_id: UUID
    model_version: str
    artifact_path: str


@dataclass(frozen=True, slots=True)
class PurgedRunRow:
    """A run whose telemetry and artifacts are deleted for good."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class DeadObjectRow:
    """Bytes that an artifact had which is deleted, and the event that did it."""

    sha256: bytes
    position: int


TRUNCATIONS = Table("truncation", TruncationRow, ("run_id", "producer"))
RETENTIONS = Table("retention", RetentionRow, ("project",))
NEEDED = Table("needed_run", NeededRunRow, ("run_id", "model_version"))
PURGED = Table("purged_run", PurgedRunRow, ("run_id",))
DEAD = Table("dead_object", DeadObjectRow, ("sha256",))


class KeepingProjector:
    """Projects what is kept and what is not.

    It must come before the projector of artifacts: a deleted one's digest is read from its row.
    """

    name = "keeping"
    tables: tuple[Table[Any], ...] = (TRUNCATIONS, RETENTIONS, NEEDED, PURGED, DEAD)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """A truncation is held against those before it; a deleted artifact had a digest."""
        if isinstance(event.payload, pb.SeriesTruncated):
            for producer in event.payload.producers:
                yield TRUNCATIONS.ref(event.stream_id, UUID(producer))
        elif isinstance(event.payload, pb.ArtifactDeleted):
            yield ARTIFACTS.ref(event.stream_id, event.payload.path)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.SeriesTruncated(producers=producers, from_step=from_step):
                for name in producers:
                    producer = UUID(name)
                    known = rows.get(TRUNCATIONS, event.stream_id, producer)
                    least = min(from_step, known.from_step) if known else from_step
                    rows.put(TRUNCATIONS, TruncationRow(event.stream_id, producer, least))
            case pb.RetentionSet(retention=retention):
                rows.put(
                    RETENTIONS,
                    RetentionRow(
                        retention.project,
                        retention.metrics_days,
                        retention.system_metrics_days,
                        retention.logs_days,
                        retention.artifacts_days,
                        retention.spans_days,
                        retention.metrics_then == pb.AT_EXPIRY_ARCHIVE,
                        retention.system_metrics_then == pb.AT_EXPIRY_ARCHIVE,
                        retention.logs_then == pb.AT_EXPIRY_ARCHIVE,
                    ),
                )
            case pb.ModelVersionRegistered(name=name, run=run, artifact_path=path) if run:
                rows.put(NEEDED, NeededRunRow(UUID(run.rpartition("/")[2]), name, path))
            case pb.RunPurged():
                rows.put(PURGED, PurgedRunRow(event.stream_id))
            case pb.ArtifactDeleted(path=path):
                artifact = rows.get(ARTIFACTS, event.stream_id, path)
                if artifact is not None:
                    rows.put(DEAD, DeadObjectRow(artifact.sha256, event.position))
            case pb.ArtifactsDeleted(digests=digests) | pb.ArchiveDeleted(digests=digests):
                for digest in digests:
                    rows.put(DEAD, DeadObjectRow(digest, event.position))
            case _:
                return
