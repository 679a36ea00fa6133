"""Components and their stages as of any position are what the view showed when it was there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_scheduler.projections.components import (
    COMPONENT_STAGES,
    COMPONENT_STAGES_PAST,
    COMPONENTS,
    COMPONENTS_PAST,
    ComponentProjector,
)
from hypothesis import given
from hypothesis import strategies as st

COMPONENT = "orgs/acme/components/train"
names = st.sampled_from([f"{COMPONENT}/versions/{tag}" for tag in ("v1", "v2", "latest")])
histories = st.lists(
    st.one_of(
        st.builds(
            lambda name, text: pb.ComponentRegistered(name=name, spec=text), names, st.binary()
        ),
        st.builds(lambda name: pb.ComponentDeleted(name=name), names),
        st.builds(
            lambda stage, tag: pb.ComponentStageSet(component=COMPONENT, stage=stage, tag=tag),
            st.sampled_from(["Staging", "Production"]),
            st.sampled_from(["", "v1", "v2"]),
        ),
    ),
    max_size=30,
)
EVENT = Event(
    position=Position(0),
    event_id=UUID(int=0),
    org_id="acme",
    category="pipeline",
    stream_id=UUID(int=0),
    version=Version(0),
    type="",
    payload=pb.ComponentDeleted(),
    actor="users/ann",
    resource="",
    correlation_id=UUID(int=0),
    causation_id=None,
    traceparent="",
    recorded_at=datetime(2026, 11, 1, tzinfo=UTC),
)


def shown(row, table):
    return tuple(getattr(row, column) for column in table.columns)


@given(histories)
def test_every_position_reads_as_it_read_then(history):
    rows, projector = Rows.of(), ComponentProjector()
    views = ((COMPONENTS, COMPONENTS_PAST), (COMPONENT_STAGES, COMPONENT_STAGES_PAST))

    def now():
        return [{shown(row, table) for row in rows.upserts(table)} for table, _ in views]

    then = [now()]
    for position, payload in enumerate(history, 1):
        projector.apply(rows, replace(EVENT, position=Position(position), payload=payload))
        then.append(now())
    for position, expected in enumerate(then):
        found = [
            {
                shown(row, table)
                for row in rows.upserts(past)
                if getattr(row, "since", getattr(row, "position", 0)) <= position < row.until
            }
            for table, past in views
        ]
        assert found == expected
