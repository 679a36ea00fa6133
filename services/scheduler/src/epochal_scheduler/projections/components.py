"""Components and presets that specs refer to, by name and tag; as they are and as they were.

Each change closes the row that held until then, so that both can be asked for as of any position.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table

#: `until` of what holds still.
FOREVER: Final = 2**63 - 1


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ComponentPastRow(ComponentRow):
    """A version as it was from `position` on, up to the event at `until`."""

    until: int


COMPONENTS = Table("component", ComponentRow, ("org_id", "component", "tag"))
COMPONENTS_PAST = Table(
    "component_past", ComponentPastRow, ("org_id", "component", "tag", "position")
)


@dataclass(frozen=True)
class ComponentStageRow:
    """The version that has a stage of a component, since which position."""

    org_id: str
    component: str
    stage: str
    tag: str
    since: int


@dataclass(frozen=True)
class ComponentStagePastRow(ComponentStageRow):
    """A stage as it was from `since` on, up to the event at `until`."""

    until: int


COMPONENT_STAGES_PAST = Table(
    "component_stage_past",
    ComponentStagePastRow,
    ("org_id", "component", "stage", "since"),
)
COMPONENT_STAGES = Table("component_stage", ComponentStageRow, ("org_id", "component", "stage"))


class ComponentProjector:
    """Follows what is registered."""

    name = "component"
    tables = (COMPONENTS, COMPONENTS_PAST, COMPONENT_STAGES, COMPONENT_STAGES_PAST)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """The row that held until now."""
        match event.payload:
            case pb.ComponentRegistered(name=name) | pb.ComponentDeleted(name=name):
                yield COMPONENTS.ref(*component_key(name))
            case pb.ComponentStageSet(component=name, stage=stage):
                org, component, _ = component_key(name)
                yield COMPONENT_STAGES.ref(org, component, stage)

    def apply(self, rows: Rows, event: Event) -> None:
        """Writes what the event changes."""
        match event.payload:
            case pb.ComponentRegistered() as registered:
                org, component, tag = component_key(registered.name)
                _close(rows, (org, component, tag), event.position)
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
                rows.put(COMPONENTS_PAST, ComponentPastRow(**asdict(row), until=FOREVER))
            case pb.ComponentDeleted(name=name):
                _close(rows, component_key(name), event.position)
                rows.delete(COMPONENTS, *component_key(name))
            case pb.ComponentStageSet(component=name, stage=stage, tag=tag):
                org, component, _ = component_key(name)
                _move(rows, ComponentStageRow(org, component, stage, tag, event.position))


def _close(rows: Rows, key: tuple[str, str, str], position: int) -> None:
    old = rows.get(COMPONENTS, *key)
    if old is not None:
        rows.put(COMPONENTS_PAST, ComponentPastRow(**asdict(old), until=position))


def _move(rows: Rows, new: ComponentStageRow) -> None:
    old = rows.get(COMPONENT_STAGES, new.org_id, new.component, new.stage)
    if old is not None:
        rows.put(COMPONENT_STAGES_PAST, ComponentStagePastRow(**asdict(old), until=new.since))
    if new.tag:
        rows.put(COMPONENT_STAGES, new)
        rows.put(COMPONENT_STAGES_PAST, ComponentStagePastRow(**asdict(new), until=FOREVER))
    else:
        rows.delete(COMPONENT_STAGES, new.org_id, new.component, new.stage)


def component_key(name: str) -> tuple[str, str, str]:
    """Returns organisation, component and tag of a resource name; `latest` when it has no tag."""
    parts = name.split("/")
    return parts[1], parts[3], parts[5] if len(parts) > 5 else "latest"
