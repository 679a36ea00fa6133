"""What a caller may see of an organisation."""

from __future__ import annotations

import epochal_proto.v1 as pb

from epochal_gateway.identity.directory import Directory


def visible_projects(directory: Directory, actor: str, org: str) -> list[str] | None:
    """Return the projects an actor is a member of by name, or None when it may see them all."""
    if directory.role(actor, org) != pb.ROLE_UNSPECIFIED or actor.startswith("runs/"):
        return None
    return [row.parent for row in directory.memberships(actor) if row.parent.startswith(f"{org}/")]
