"""The gateway's read model: organisations, projects, members, tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.model import ReadModel, event_types
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef, Table
from google.protobuf.message import Message

from epochal_gateway.domain import organization


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """One organisation."""

    name: str
    display_name: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """One project; `version` is the position of its last change, `number` of its first."""

    name: str
    display_name: str
    description: str
    create_time: datetime
    archived: bool
    version: int
    number: int
    tags: Json
    update_time: datetime


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One membership in an organisation or project."""

    parent: str
    username: str
    role: int
    platform_admin: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token, known by the hash of its secret."""

    name: str
    username: str
    display_name: str
    secret_sha256: bytes
    scopes: Json
    create_time: datetime
    expire_time: datetime | None
    revoked: bool


ORGANIZATIONS = Table("organization", OrganizationRow, ("name",))
PROJECTS = Table("project", ProjectRow, ("name",))
MEMBERS = Table("member", MemberRow, ("parent", "username"))
TOKENS = Table("token", TokenRow, ("name",))


class AccessProjector:
    """Projects every access event."""

    name = "access"
    tables = (ORGANIZATIONS, PROJECTS, MEMBERS, TOKENS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Name the rows that an event changes in part."""
        match event.payload:
            case (
                pb.ProjectDescribed(name=name)
                | pb.ProjectArchived(name=name)
                | pb.ProjectRestored(name=name)
                | pb.ProjectTagsSet(name=name)
            ):
                yield PROJECTS.ref(name)
            case pb.MemberRoleChanged(parent=parent, user=user):
                yield MEMBERS.ref(parent, user)
            case pb.TokenRevoked(name=name):
                yield TOKENS.ref(name)
            case _:
                return

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.OrganizationCreated() as created:
                rows.put(
                    ORGANIZATIONS,
                    OrganizationRow(created.name, created.display_name, event.recorded_at),
                )
            case pb.ProjectCreated() as created:
                rows.put(
                    PROJECTS,
                    ProjectRow(
                        created.name,
                        created.display_name,
                        created.description,
                        event.recorded_at,
                        False,
                        event.position,
                        event.position,
                        Json("{}"),
                        event.recorded_at,
                    ),
                )
            case (
                pb.ProjectDescribed()
                | pb.ProjectArchived()
                | pb.ProjectRestored()
                | pb.ProjectTagsSet() as change
            ):
                if project := rows.get(PROJECTS, change.name):
                    changed = replace(
                        _changed(project, change),
                        version=event.position,
                        update_time=event.recorded_at,
                    )
                    rows.put(PROJECTS, changed)
            case pb.MemberAdded() as added:
                rows.put(
                    MEMBERS, MemberRow(added.parent, added.user, added.role, added.platform_admin)
                )
            case pb.MemberRoleChanged() as change:
                if member := rows.get(MEMBERS, change.parent, change.user):
                    rows.put(MEMBERS, replace(member, role=change.new_role))
            case pb.MemberRemoved() as removed:
                rows.delete(MEMBERS, removed.parent, removed.user)
            case pb.TokenIssued() as issued:
                rows.put(TOKENS, token_row(issued, event.recorded_at))
            case pb.TokenRevoked() as revoked:
                if token := rows.get(TOKENS, revoked.name):
                    rows.put(TOKENS, replace(token, revoked=True))
            case _:
                return


def _changed(project: ProjectRow, change: Message) -> ProjectRow:
    match change:
        case pb.ProjectDescribed():
            return replace(
                project, display_name=change.display_name, description=change.description
            )
        case pb.ProjectArchived():
            return replace(project, archived=True)
        case pb.ProjectRestored():
            return replace(project, archived=False)
        case pb.ProjectTagsSet():
            tags = organization.tagged(json.loads(project.tags), change)
            return replace(project, tags=Json(json.dumps(tags)))
        case _:
            return project


def token_row(issued: pb.TokenIssued, at: datetime) -> TokenRow:
    """Return the row of a token just issued."""
    expire_time = (
        issued.expire_time.ToDatetime(tzinfo=UTC) if issued.HasField("expire_time") else None
    )
    return TokenRow(
        issued.name,
        issued.user,
        issued.display_name,
        issued.secret_sha256,
        Json(json.dumps(list(issued.scopes))),
        at,
        expire_time,
        False,
    )


READ_MODEL = ReadModel(
    service="gateway",
    version=2,
    ddl=resources.files("epochal_gateway").joinpath("sql/read_model.sql").read_text(),
    projectors=(AccessProjector(),),
    interests=event_types(
        pb.OrganizationCreated,
        pb.ProjectCreated,
        pb.ProjectDescribed,
        pb.ProjectArchived,
        pb.ProjectRestored,
        pb.ProjectTagsSet,
        pb.MemberAdded,
        pb.MemberRoleChanged,
        pb.MemberRemoved,
        pb.TokenIssued,
        pb.TokenRevoked,
    ),
)
