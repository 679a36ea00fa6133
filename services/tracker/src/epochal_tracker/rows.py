"""The rows of the tracker's read model, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from epochal_kernel.projections.tables import Json, Table


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as lists and searches see it.

    `more` is a serialized Run of what is shown with it and never searched: resources, cost,
    priority, edges, description.
    """

    run_id: UUID
    project: str
    display_name: str
    kind: int
    status: int
    message: str
    params: Json
    tags: Json
    creator: str
    queue: str
    attempt: int
    exit_code: int | None
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    spec_digest: str
    incomplete_producers: Json
    pipeline: str
    step: str
    iteration: int
    origin: str
    origin_kind: str
    holds: Json
    outputs: Json
    schedule_time: datetime | None
    service_path: str
    paused: bool
    more: bytes
    delete_time: datetime | None


@dataclass(frozen=True, slots=True)
class ProducerRow:
    """One producer of telemetry; `opened` is the position of its first opening."""

    run_id: UUID
    producer: UUID
    epoch: int
    opened: int
    sealed_batch: int | None
    sealed_root: bytes | None = None


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """The newest bytes at one path of a run."""

    run_id: UUID
    path: str
    sha256: bytes
    size_bytes: int
    kind: str
    media_type: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """What one attempt of a run was made of: a serialized Capture."""

    run_id: UUID
    attempt: int
    capture: bytes


@dataclass(frozen=True, slots=True)
class RunFieldRow:
    """One parameter ("p"), output ("o") or tag ("t") of a run, as searches find it."""

    run_id: UUID
    kind: str
    name: str
    text: str
    number: float | None


@dataclass(frozen=True, slots=True)
class RunDatasetRow:
    """A dataset that a run reads; `details` are DatasetDetails, serialized."""

    run_id: UUID
    name: str
    digest: str
    context: str
    details: bytes


@dataclass(frozen=True, slots=True)
class MarkRow:
    """What people put on a run: its "note", a "pin", or the "bookmark" of an owner."""

    run_id: UUID
    kind: str
    owner: str
    text: str
    author: str


@dataclass(frozen=True, slots=True)
class SavedSearchRow:
    """A saved search: a serialized SavedSearch, and who sees it."""

    name: str
    project: str
    owner: str
    shared: bool
    content: bytes


RUNS = Table("run", RunRow, ("run_id",))
MARKS = Table("run_mark", MarkRow, ("run_id", "kind", "owner"))
SAVED_SEARCHES = Table("saved_search", SavedSearchRow, ("name",))
RUN_FIELDS = Table("run_field", RunFieldRow, ("run_id", "kind", "name"))
RUN_DATASETS = Table("run_dataset", RunDatasetRow, ("run_id", "name", "digest"))
PRODUCERS = Table("producer", ProducerRow, ("run_id", "producer"))
ARTIFACTS = Table("artifact", ArtifactRow, ("run_id", "path"))
CAPTURES = Table("capture", CaptureRow, ("run_id", "attempt"))
