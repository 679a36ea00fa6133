"""Roles and the permissions they hold. The names are the ones that proto/ declares on every RPC."""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb

_VIEWER: Final = frozenset(
    {
        "org.read",
        "project.read",
        "run.read",
        "lineage.read",
        "model.read",
        "notification.read",
        "access.read",
        "token.read",
        "token.write",
        "queue.read",
        "component.read",
    }
)
_EDITOR: Final = _VIEWER | {
    "run.write",
    "run.approve",
    "run.execute",
    "component.write",
    "lineage.write",
    "model.write",
    "model.promote",
    "model.approve",
}
_ADMIN: Final = _EDITOR | {
    "project.write",
    "access.manage",
    "notification.write",
    "audit.read",
    "queue.write",
    "model.govern",
}
_OWNER: Final = _ADMIN | {"org.write"}

#: Permissions by role; each role includes the ones before it.
PERMISSIONS: Final[dict[pb.Role, frozenset[str]]] = {
    pb.ROLE_VIEWER: _VIEWER,
    pb.ROLE_EDITOR: _EDITOR,
    pb.ROLE_ADMIN: _ADMIN,
    pb.ROLE_OWNER: _OWNER,
}

#: What a run may do in its project with the token it was started with. Writes about runs are
#: further limited to the run itself.
RUN_PERMISSIONS: Final = frozenset(
    {
        "project.read",
        "run.read",
        "run.write",
        "lineage.read",
        "lineage.write",
        "model.read",
        "model.write",
        "model.promote",
    }
)

#: Held by nobody through a role: only by the administrator of the whole platform.
PLATFORM_ADMIN: Final = "platform.admin"

ALL: Final = frozenset().union(*PERMISSIONS.values())


def permitted(role: pb.Role, permission: str) -> bool:
    """Whether a role holds a permission; no role holds none."""
    return permission in PERMISSIONS.get(role, frozenset())
