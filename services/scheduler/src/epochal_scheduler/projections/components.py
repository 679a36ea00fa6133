"""Components and presets that specs refer to, by name and tag."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One version of a component or preset; `position` orders versions by age."""

    org_id: str
    component: str
    tag: str
    spec: bytes
    digest: str
    is_preset: bool
    description: str
    creator: str
    position: int
    create_time: datetime


COMPONENTS = Table("component", ComponentRow, ("org_id", "component", "tag"))


@dataclass(frozen=True, slots=True)
class ComponentStageRow:
    """The version that has a stage of a component."""

    org_id: str
    component: str
    stage: str
    tag: str


COMPONENT_STAGES = Table("component_stage", ComponentStageRow, ("org_id", "component", "stage"))


class ComponentProjector:
    """Follows what is registered."""

    name = "component"
    tables = (COMPONENTS, COMPONENT_STAGES)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Writes what the event changes."""
        match event.payload:
            case pb.ComponentRegistered() as registered:
                org, component, tag = component_key(registered.name)
                row = ComponentRow(
                    org,
                    component,
                    tag,
                    registered.spec,
                    registered.digest,
                    registered.is_preset,
                    registered.description,
                    event.actor,
                    event.position,
                    event.recorded_at,
                )
                rows.put(COMPONENTS, row)
            case pb.ComponentDeleted(name=name):
                rows.delete(COMPONENTS, *component_key(name))
            case pb.ComponentStageSet(component=name, stage=stage, tag=tag):
                org, component, _ = component_key(name)
                if tag:
                    rows.put(COMPONENT_STAGES, ComponentStageRow(org, component, stage, tag))
                else:
                    rows.delete(COMPONENT_STAGES, org, component, stage)


def component_key(name: str) -> tuple[str, str, str]:
    """Returns organisation, component and tag of a resource name; `latest` when it has no tag."""
    parts = name.split("/")
    return parts[1], parts[3], parts[5] if len(parts) > 5 else "latest"
