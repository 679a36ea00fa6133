"""What an event says of why something is there, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from google.protobuf.message import Message

#: What events of a run say of why it is there as it is.
RUN_RELATIONS: Final[dict[type[Message], str]] = {
    pb.RunCreated: "created by",
    pb.RunApprovalGiven: "approved by",
    pb.RunApprovalDenied: "denied by",
    pb.RunHoldReleased: "released by",
    pb.RunResumed: "resumed by",
    pb.RunReused: "results reused by",
}

#: What events of the registry say; those that are not here are called by their type.
_VERSION_RELATIONS: Final[dict[type[Message], str]] = {
    pb.ModelVersionRegistered: "registered by",
    pb.ModelVersionStageChanged: "stage changed by",
    pb.ModelVersionSigned: "signed by",
    pb.ModelAliasSet: "alias set by",
    pb.PromotionRequested: "promotion asked for by",
    pb.PromotionEvaluated: "gates asked by",
    pb.PromotionApproved: "approved by",
    pb.PromotionRejected: "rejected by",
    pb.PromotionCompleted: "promoted by",
    pb.PromotionReviewed: "reviewed by",
}

#: Events of the registry that are no reason for anything.
_NO_REASON: Final = (
    pb.ModelVersionTagged,
    pb.ModelVersionDescribed,
    pb.ModelVersionFilesListed,
)

#: How a node is bound to the one that an edge comes from.
EDGE_RELATIONS: Final[dict[int, str]] = {
    pb.EDGE_KIND_TRIGGERED: "triggered by",
    pb.EDGE_KIND_CONTAINS: "step of",
    pb.EDGE_KIND_RESTARTED: "restart of",
    pb.EDGE_KIND_REUSED: "takes results of",
    pb.EDGE_KIND_TRAINED: "trained by",
    pb.EDGE_KIND_DEPLOYED_AS: "serves",
    pb.EDGE_KIND_HOLDS: "held by",
}


def version_relations(events: Sequence[Message], version: str) -> list[str]:
    """Return how each event of a model explains one of its versions; empty when it does not.

    What was said of a promotion explains the version that was to be promoted.
    """
    number = version.rpartition("/versions/")[2]
    promotions: set[str] = set()
    relations: list[str] = []
    for event in events:
        if isinstance(event, pb.PromotionRequested) and event.model_version == version:
            promotions.add(event.name)
        about = getattr(event, "promotion", "") in promotions - {""}
        names = about or _names_version(event, version, number)
        known = _VERSION_RELATIONS.get(type(event)) or f"{event.DESCRIPTOR.name} by"
        relations.append(known if names and not isinstance(event, _NO_REASON) else "")
    return relations


def detail(event: Message) -> str:
    """Return what an event says in words, without anything that might be secret."""
    match event:
        case pb.RunCreated():
            made = [
                *(f"{edge.kind} {edge.source}" for edge in event.edges),
                *([f"{event.origin_kind} of {event.origin}"] if event.origin else []),
                *([f"step {event.step} of {event.pipeline}"] if event.pipeline else []),
            ]
            return "; ".join([event.display_name, *made])
        case pb.RunApprovalGiven():
            return "; ".join(filter(None, (f"by right of {event.right}", event.reason)))
        case pb.RunHoldReleased():
            return "; ".join(filter(None, (event.hold, event.reason)))
        case pb.RunReused():
            return event.explanation
        case pb.ModelAliasSet():
            before = f", before on {event.old_version}" if event.old_version else ""
            return f"{event.alias} on {event.version}{before}"
        case pb.ModelVersionStageChanged():
            moved = f"{event.old_stage or 'no stage'} to {event.stage or 'no stage'}"
            return "; ".join(filter(None, (moved, event.reason)))
        case pb.PromotionRequested():
            place = event.stage or event.alias
            return "; ".join(filter(None, (f"to {place}", event.reason)))
        case pb.PromotionApproved():
            return "; ".join(filter(None, (event.role, event.comment)))
        case _:
            return str(getattr(event, "reason", "") or "")


def event_ids(event: Message) -> list[UUID]:
    """Return the ids of events that a run was made because of."""
    if not isinstance(event, pb.RunCreated):
        return []
    found: list[UUID] = []
    for edge in event.edges:
        try:
            found.append(UUID(edge.source))
        except ValueError:
            continue  # it names a run, which the graph has an edge to
    return found


def _names_version(event: Message, version: str, number: str) -> bool:
    for field, value in event.ListFields():
        if value == version or (field.name == "version" and str(value) == number):
            return True
    return False
