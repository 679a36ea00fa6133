"""Tokens, members, projects in memory, so that no permission check waits for a database.

The directory follows the same events as the read model. When it finds that it missed some (another
gateway's consumer took them), it loads everything anew from the tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event

from epochal_gateway.identity.project_index import ProjectIndex
from epochal_gateway.projections import MemberRow, OrganizationRow, ProjectRow, TokenRow
from epochal_gateway.store import AccessStore


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token as authentication needs it."""

    row: TokenRow
    scopes: frozenset[str]


#: Events that change one project, and no right.
_ABOUT_PROJECTS = (
    pb.ProjectCreated
    | pb.ProjectDescribed
    | pb.ProjectArchived
    | pb.ProjectRestored
    | pb.ProjectTagsSet
)


class Directory:
    """The access state as of one log position."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._position = -1
        self._tokens: dict[bytes, KnownToken] = {}
        self._roles: dict[tuple[str, str], MemberRow] = {}
        self._projects = ProjectIndex()
        self._organizations: dict[str, OrganizationRow] = {}
        self._admins: frozenset[str] = frozenset()

    @property
    def position(self) -> int:
        """Log position this is the state of; -1 before the first load."""
        return self._position

    async def follow(self, before: int, events: Sequence[Event], position: int) -> None:
        """Take note of events just projected, reading what they changed of the tables."""
        changed: dict[str, None] = {}
        whole = before != self._position
        for event in events:
            if isinstance(event.payload, _ABOUT_PROJECTS):
                changed[event.payload.name] = None
            elif event.category == "access":
                whole = True
        if whole:
            await self.load()
        else:
            for name in changed:
                if row := await self._store.project(name):
                    self._projects.put(row)
        self._position = max(self._position, position)

    async def load(self) -> None:
        """Load everything from the tables."""
        snapshot = await self._store.snapshot()
        self._tokens = {
            row.secret_sha256: KnownToken(row, frozenset(json.loads(row.scopes)))
            for row in snapshot.tokens
        }
        self._roles = {(row.parent, row.username): row for row in snapshot.members}
        self._admins = frozenset(row.username for row in snapshot.members if row.platform_admin)
        self._projects = ProjectIndex(snapshot.projects)
        self._organizations = {row.name: row for row in snapshot.organizations}
        self._position = max(self._position, snapshot.position)

    def token(self, secret_sha256: bytes) -> KnownToken | None:
        """Return the token whose secret has this hash."""
        return self._tokens.get(secret_sha256)

    def organization(self, name: str) -> OrganizationRow | None:
        """Return an organisation by name."""
        return self._organizations.get(name)

    def project(self, name: str) -> ProjectRow | None:
        """Return a project by name."""
        return self._projects.named(name)

    def numbered(self, number: int) -> ProjectRow | None:
        """Return the project that began at a log position."""
        return self._projects.numbered(number)

    def titled(self, org: str, display_name: str) -> Sequence[ProjectRow]:
        """Return the projects of an organisation with a name for people, those in use first."""
        return self._projects.titled(org, display_name)

    def projects(self, org: str) -> list[ProjectRow]:
        """Return the projects of an organisation, archived ones too."""
        return self._projects.of(org)

    def role(self, user: str, parent: str) -> pb.Role:
        """Return the role a user was given at exactly this organisation or project."""
        row = self._roles.get((parent, user))
        return cast("pb.Role", row.role) if row else pb.ROLE_UNSPECIFIED

    def memberships(self, user: str) -> list[MemberRow]:
        """Return all memberships of a user, by name of the parent."""
        return sorted(
            (row for row in self._roles.values() if row.username == user),
            key=lambda row: row.parent,
        )

    def owners(self, org: str) -> set[str]:
        """Return who owns an organisation."""
        return {
            user
            for (parent, user), row in self._roles.items()
            if parent == org and row.role == pb.ROLE_OWNER
        }

    def tokens_of(self, user: str) -> list[TokenRow]:
        """Return all tokens that speak for a user, revoked ones too, by name."""
        found = [known.row for known in self._tokens.values() if known.row.username == user]
        return sorted(found, key=lambda row: row.name)

    def is_platform_admin(self, user: str) -> bool:
        """Whether a user administers the whole platform."""
        return user in self._admins
