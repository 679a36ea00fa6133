"""The decision: may this identity use this permission on this resource?

Deny by default. A resource in an organisation the caller has no part in is refused in the same
words whether it exists or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound, PermissionDenied

from epochal_gateway.domain.permissions import PLATFORM_ADMIN, RUN_PERMISSIONS, permitted
from epochal_gateway.identity.authentication import Identity
from epochal_gateway.identity.directory import Directory


@dataclass(frozen=True, slots=True)
class Place:
    """The organisation and project a resource name lies in; project is empty above projects."""

    org: str
    project: str

    @classmethod
    def of(cls, resource: str) -> Place:
        """Take a resource name apart."""
        parts = resource.split("/")
        org = "/".join(parts[:2]) if parts[0] == "orgs" and len(parts) > 1 else ""
        inside = len(parts) > 3 and parts[2] == "projects"
        return cls(org, "/".join(parts[:4]) if org and inside else "")


class Authorizer:
    """Decides on the directory's present state."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def check(self, identity: Identity, permission: str, resource: str, *, write: bool) -> None:
        """Check one permission on one resource; `write` says that no archived project will do.

        Raises:
            PermissionDenied: the identity does not have it there.
            NotFound: the caller may look, and the organisation or project does not exist.
            FailedPrecondition: a write to an archived project.
        """
        if permission == "authenticated":
            return
        if identity.scopes and permission not in identity.scopes:
            raise PermissionDenied(
                f"this token is limited to {', '.join(sorted(identity.scopes))}: "
                f"{permission} is not among them",
                reason="SCOPE_MISSING",
                resource=resource,
            )
        if permission == PLATFORM_ADMIN:
            if not self._directory.is_platform_admin(identity.actor):
                raise self._denied(identity, permission, "the platform")
            return
        place = Place.of(resource)
        if identity.run:
            self._check_run(identity, permission, resource, place)
        elif not self._permitted(identity.actor, permission, place):
            raise self._denied(identity, permission, resource)
        self._check_place(place, write=write)

    def role(self, user: str, place: Place) -> pb.Role:
        """Return the stronger of a user's roles in the organisation and in the project."""
        org_role = self._directory.role(user, place.org) if place.org else pb.ROLE_UNSPECIFIED
        if not place.project:
            return org_role
        return max(org_role, self._directory.role(user, place.project))

    def role_word(self, identity: Identity, resource: str) -> str:
        """Return the caller's role on a resource as people write it; empty for none."""
        if identity.run:
            return ""
        role = self.role(identity.actor, Place.of(resource))
        return pb.Role.Name(role).removeprefix("ROLE_").lower() if role else ""

    def _permitted(self, user: str, permission: str, place: Place) -> bool:
        """Whether a role gives it; who belongs to a project may also see that it is there."""
        if permitted(self.role(user, place), permission):
            return True
        looking = permission in ("org.read", "project.read") and not place.project
        return looking and any(
            row.parent.startswith(f"{place.org}/") for row in self._directory.memberships(user)
        )

    def _check_run(self, identity: Identity, permission: str, resource: str, place: Place) -> None:
        at_home = place.project == Place.of(identity.run).project
        about_runs = permission in ("run.write", "lineage.write")
        itself = resource == identity.run or resource.startswith(identity.run + "/")
        if permission not in RUN_PERMISSIONS or not at_home or (about_runs and not itself):
            raise self._denied(identity, permission, resource)

    def _check_place(self, place: Place, *, write: bool) -> None:
        if self._directory.organization(place.org) is None:
            raise NotFound(f"there is no {place.org}", resource=place.org)
        if not place.project:
            return
        project = self._directory.project(place.project)
        if project is None:
            raise NotFound(
                f"there is no {place.project}: create it with "
                f"`epochal projects create {place.project.rsplit('/', 1)[-1]}`",
                resource=place.project,
            )
        if write and project.archived:
            raise FailedPrecondition(
                f"{place.project} is archived and cannot be changed",
                reason="PROJECT_ARCHIVED",
                resource=place.project,
            )

    def _denied(self, identity: Identity, permission: str, resource: str) -> PermissionDenied:
        return PermissionDenied(
            f"{identity.actor} lacks {permission} on {resource}",
            reason="PERMISSION_MISSING",
            resource=resource,
        )
