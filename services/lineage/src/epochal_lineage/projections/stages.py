"""Stages of datasets and components as rows, and which versions of components there are.

Each move closes the row that held until then and opens another, as models have it, so that stages
can be asked for as of any position.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table

from epochal_lineage.projections.promotion_rows import FOREVER


@dataclass(frozen=True)
class StageRow:
    """The version that has a stage of a dataset or a component; `version` is its last part."""

    resource: str
    stage: str
    version: str
    reason: str
    author: str
    promotion: str
    update_time: datetime
    since: int


@dataclass(frozen=True)
class StagePastRow(StageRow):
    """A stage as it was from `since` on, up to the event at `until`."""

    until: int


@dataclass(frozen=True, slots=True)
class ComponentVersionRow:
    """A version of a component that can have stages."""

    name: str
    component: str
    tag: str
    creator: str


STAGES = Table("held_stage", StageRow, ("resource", "stage"))
STAGES_PAST = Table("held_stage_past", StagePastRow, ("resource", "stage", "since"))
COMPONENT_VERSIONS = Table("component_version", ComponentVersionRow, ("name",))


class StageProjector:
    """Projects stages of datasets and components."""

    name = "stages"
    tables = (STAGES, STAGES_PAST, COMPONENT_VERSIONS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """The row that held until now."""
        match event.payload:
            case pb.DatasetStageSet(dataset=name, stage=stage):
                yield STAGES.ref(name, stage)
            case pb.ComponentStageSet(component=name, stage=stage):
                yield STAGES.ref(name, stage)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.DatasetStageSet() as given:
                _move(rows, event, given.dataset, given.version, given)
            case pb.ComponentStageSet() as given:
                _move(rows, event, given.component, given.tag, given)
            case pb.ComponentRegistered(name=name):
                component, _, tag = name.partition("/versions/")
                row = ComponentVersionRow(name, component, tag, event.actor)
                rows.put(COMPONENT_VERSIONS, row)
            case pb.ComponentDeleted(name=name):
                rows.delete(COMPONENT_VERSIONS, name)
            case _:
                return


def _move(
    rows: Rows,
    event: Event,
    resource: str,
    version: str,
    given: pb.DatasetStageSet | pb.ComponentStageSet,
) -> None:
    old = rows.get(STAGES, resource, given.stage)
    if old is not None:
        rows.put(STAGES_PAST, StagePastRow(**asdict(old), until=event.position))
    if not version:
        rows.delete(STAGES, resource, given.stage)
        return
    new = StageRow(
        resource,
        given.stage,
        version,
        given.reason,
        event.actor,
        given.promotion,
        event.recorded_at,
        event.position,
    )
    rows.put(STAGES, new)
    rows.put(STAGES_PAST, StagePastRow(**asdict(new), until=FOREVER))
