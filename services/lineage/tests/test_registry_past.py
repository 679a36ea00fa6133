"""Models and versions as of any position are what the view showed when it was there."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_lineage.projections.promotion_rows import MODELS_PAST, VERSIONS_PAST
from epochal_lineage.projections.registry import RegistryProjector
from epochal_lineage.projections.rows import MODEL_VERSIONS, MODELS, ModelRow, ModelVersionRow
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

MODEL = [f"orgs/acme/projects/vision/models/{name}" for name in "ab"]
models, numbers = st.sampled_from(MODEL), st.integers(1, 3)
versions = st.builds(lambda model, number: f"{model}/versions/{number}", models, numbers)
histories = st.lists(
    st.one_of(
        st.builds(lambda model: pb.ModelRegistered(name=model), models),
        st.builds(
            lambda name: pb.ModelVersionRegistered(
                name=name, version=int(name[-1]), metrics={"acc": 0.5}
            ),
            versions,
        ),
        st.builds(
            lambda model, n: pb.ModelAliasSet(model=model, alias="champion", version=n),
            models,
            numbers,
        ),
        st.builds(lambda model: pb.ModelAliasDeleted(model=model, alias="champion"), models),
        st.builds(lambda model: pb.ModelDescribed(model=model, description="x"), models),
        st.builds(
            lambda name, stage: pb.ModelVersionStageChanged(name=name, stage=stage),
            versions,
            st.sampled_from(["", "Staging", "Production"]),
        ),
        st.builds(lambda name: pb.ModelVersionSigned(name=name, key="k"), versions),
        st.builds(lambda name: pb.ModelVersionDeleted(name=name), versions),
        st.builds(lambda model: pb.ModelDeleted(model=model), models),
    ),
    max_size=30,
)


def event(payload: Message, position: int) -> Event:
    return Event(
        position=Position(position),
        event_id=UUID(int=position),
        org_id="acme",
        category="registry",
        stream_id=UUID(int=0),
        version=Version(position),
        type=payload.DESCRIPTOR.full_name,
        payload=payload,
        actor="users/ann",
        resource="",
        correlation_id=UUID(int=0),
        causation_id=None,
        traceparent="",
        recorded_at=datetime(2026, 11, 1, tzinfo=UTC),
    )


def plain(row: object, kind: type) -> tuple[object, ...]:
    return tuple(getattr(row, field.name) for field in fields(kind))


def now(rows: Rows) -> set[tuple[object, ...]]:
    found = {plain(row, ModelRow) for row in rows.upserts(MODELS)}
    return found | {plain(row, ModelVersionRow) for row in rows.upserts(MODEL_VERSIONS)}


def then(rows: Rows, position: int) -> set[tuple[object, ...]]:
    there = [row for row in rows.upserts(MODELS_PAST) if row.since <= position < row.until]
    names = {row.name for row in there}
    return {plain(row, ModelRow) for row in there} | {
        plain(row, ModelVersionRow)
        for row in rows.upserts(VERSIONS_PAST)
        if row.since <= position < row.until and row.model in names
    }


def once(history: list[Message]) -> list[Message]:
    """What a log can hold: a name or number is given once."""
    seen: set[str] = set()
    kept: list[Message] = []
    for one in history:
        name = getattr(one, "name", "")
        if isinstance(one, pb.ModelRegistered | pb.ModelVersionRegistered):
            if name in seen or (
                "/versions/" in name and name.partition("/versions")[0] not in seen
            ):
                continue
            seen.add(name)
        kept.append(one)
    return kept


@given(histories)
def test_every_position_reads_as_it_read_then(history: list[Message]) -> None:
    rows, projector = Rows.of(), RegistryProjector()
    shown: list[set[tuple[object, ...]]] = [set()]
    for position, payload in enumerate(once(history), 1):
        projector.apply(rows, event(payload, position))
        shown.append(now(rows))
    for position, expected in enumerate(shown):
        assert then(rows, position) == expected
