"""Versions of datasets as rows: what they are made of, and what came of rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table

from epochal_lineage.projections.facts.stating import family_of, project_of
from epochal_lineage.projections.promotion_rows import FOREVER


@dataclass(frozen=True, slots=True)
class DatasetVersionRow:
    """A version of a dataset; what is bytes is a serialised message.

    Attributes:
        contents: `DatasetContents` without its columns.
        columns: `DatasetContents` with nothing but its columns, which may be large.
        details: `DatasetDetails`.
        validated: the last `DatasetValidated`.
        maker: run that made it first; empty when runs have only read it.
        since: position of the event that made the row what it is.
        columns_since: position of the event that told of the columns; so with the details.
    """

    name: str
    family: str
    project: str
    uri: str
    digest: str
    run: str
    produced: bool
    features: bool
    contents: bytes
    columns: bytes
    details: bytes
    validated: bytes
    position: int
    create_time: datetime
    maker: str
    since: int
    columns_since: int
    details_since: int

    def known(self) -> pb.DatasetContents:
        """Return all that is known of its contents."""
        found = pb.DatasetContents.FromString(self.contents)
        found.MergeFromString(self.columns)
        return found


@dataclass(frozen=True, slots=True)
class DatasetPastRow:
    """A version as it was from `since` on, up to the event at `until`.

    Columns and details are told once and may be large: they are with the version alone.
    """

    name: str
    family: str
    project: str
    uri: str
    digest: str
    run: str
    produced: bool
    features: bool
    contents: bytes
    validated: bytes
    position: int
    create_time: datetime
    maker: str
    since: int
    until: int


DATASET_VERSIONS = Table("dataset_version", DatasetVersionRow, ("name",))
DATASETS_PAST = Table("dataset_version_past", DatasetPastRow, ("name", "since"))
_SHARED: Final = tuple(one.name for one in fields(DatasetPastRow) if one.name != "until")

_KEPT: Final = frozenset({pb.DATASET_STORAGE_CHUNKS, pb.DATASET_STORAGE_COPY})


class DatasetProjector:
    """Projects versions of datasets: what was told first stays, what was missing is added."""

    name = "datasets"
    tables = (DATASET_VERSIONS, DATASETS_PAST)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """The row of the version."""
        match event.payload:
            case pb.DatasetUsed() | pb.DatasetProduced() | pb.DatasetValidated() as told:
                yield DATASET_VERSIONS.ref(told.dataset)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event adds."""
        match event.payload:
            case pb.DatasetUsed() | pb.DatasetProduced() as told:
                row = rows.get(DATASET_VERSIONS, told.dataset)
                _put(rows, row, _told(row or _new(told, event), told, event.position))
            case pb.DatasetValidated() as validated:
                row = rows.get(DATASET_VERSIONS, validated.dataset)
                if row is not None:
                    content = validated.SerializeToString(deterministic=True)
                    _put(rows, row, replace(row, validated=content, since=event.position))


def _put(rows: Rows, old: DatasetVersionRow | None, new: DatasetVersionRow) -> None:
    """Write a version if it has changed: most uses tell nothing that was not known."""
    if old is not None and replace(new, since=old.since) == old:
        return
    if old is not None:
        rows.put(DATASETS_PAST, _past(old, new.since))
    rows.put(DATASET_VERSIONS, new)
    rows.put(DATASETS_PAST, _past(new, FOREVER))


def _past(row: DatasetVersionRow, until: int) -> DatasetPastRow:
    return DatasetPastRow(**{name: getattr(row, name) for name in _SHARED}, until=until)


def _new(told: pb.DatasetUsed | pb.DatasetProduced, event: Event) -> DatasetVersionRow:
    return DatasetVersionRow(
        name=told.dataset,
        family=family_of(told.dataset),
        project=project_of(told.dataset),
        uri=told.uri,
        digest=told.digest or told.details.digest,
        run=told.run,
        produced=False,
        features=False,
        contents=b"",
        columns=b"",
        details=b"",
        validated=b"",
        position=event.position,
        create_time=event.recorded_at,
        maker="",
        since=0,
        columns_since=0,
        details_since=0,
    )


def _told(
    row: DatasetVersionRow, told: pb.DatasetUsed | pb.DatasetProduced, position: int
) -> DatasetVersionRow:
    columns = pb.DatasetContents(columns=told.contents.columns)
    return replace(
        row,
        uri=row.uri or told.uri,
        digest=row.digest or told.digest,
        contents=_contents(row, told).SerializeToString(deterministic=True),
        columns=row.columns or columns.SerializeToString(deterministic=True),
        details=row.details or told.details.SerializeToString(deterministic=True),
        produced=row.produced or isinstance(told, pb.DatasetProduced),
        maker=row.maker or (told.run if isinstance(told, pb.DatasetProduced) else ""),
        features=row.features or told.features,
        since=position,
        columns_since=row.columns_since or (position if told.contents.columns else 0),
        details_since=row.details_since or (position if told.HasField("details") else 0),
    )


def _contents(
    row: DatasetVersionRow, told: pb.DatasetUsed | pb.DatasetProduced
) -> pb.DatasetContents:
    """What is known by now but columns: as it was told first, the first place where it is kept."""
    known, news = pb.DatasetContents.FromString(row.contents), pb.DatasetContents()
    news.CopyFrom(told.contents)
    if news.path:
        news.path = f"{told.run}/artifacts/{news.path}"
    if not row.columns and news.columns:
        known.format = news.format or known.format
    del news.columns[:]
    if not row.contents:
        return news
    if not known.HasField("rows") and news.HasField("rows"):
        known.rows = news.rows
    if news.storage in _KEPT and known.storage not in _KEPT:
        known.storage, known.path, known.chunks = news.storage, news.path, news.chunks
    return known
