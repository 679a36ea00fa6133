"""Which permission lets a caller cause an event: told from its type.

The gateway checks the permission of an RPC before the event; it is not in the event itself. What a
service causes of its own accord needs none: its actor, "services/...", says so.
"""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.events import EVENTS

_BY_CATEGORY: Final = {
    "run": "run.write",
    "pipeline": "run.write",
    "sweep": "run.write",
    "schedule": "run.write",
    "telemetry": "run.write",
    "registry": "model.write",
    "lineage": "lineage.write",
    "queue": "queue.write",
    "notify": "notification.write",
    "access": "access.manage",
}
_BY_TYPE: Final = {
    "OrganizationCreated": "platform.admin",
    "TokenIssued": "token.write",
    "TokenRevoked": "token.write",
    "ProjectCreated": "project.write",
    "ProjectDescribed": "project.write",
    "ProjectArchived": "project.write",
    "ProjectRestored": "project.write",
    "ProjectTagsSet": "project.write",
    "ProjectPolicySet": "project.write",
    "ArtifactRead": "run.read",
    "RunApprovalGiven": "run.approve",
    "RunApprovalDenied": "run.approve",
    "RegistryPolicySet": "model.govern",
    "PromotionRequested": "model.promote",
    "PromotionEvaluated": "model.promote",
    "PromotionCompleted": "model.promote",
    "PromotionApproved": "model.approve",
    "PromotionRejected": "model.approve",
    "PromotionReviewed": "model.approve",
    "ComponentRegistered": "component.write",
    "ComponentDeleted": "component.write",
    "ComponentStageSet": "component.write",
    "DatasetStageSet": "lineage.write",
}


def permission_of(type_name: str) -> str:
    """Return the permission behind a type, by its full name; "" when none is known."""
    short = type_name.rpartition(".")[2]
    if short in _BY_TYPE:
        return _BY_TYPE[short]
    kind = EVENTS.get(type_name)
    if kind is None:
        return ""
    return _BY_CATEGORY.get(str(kind.DESCRIPTOR.GetOptions().Extensions[pb.event].category), "")


def types_allowed_by(permission: str) -> list[str]:
    """Return the full names of all types behind a permission."""
    return sorted(name for name in EVENTS if permission_of(name) == permission)
