"""The evidence for one model version: from its data over its run to every move of it since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from typing import TypeVar

import epochal_proto.v1 as pb
from epochal_proto.v1.events import EVENTS
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from epochal.errors import NotFound

T = TypeVar("T", bound=Message)


@dataclass
class Evidence:
    """What was found: the events, and a reading of them for people.

    The reading is made from the events and proves nothing by itself.
    """

    events: list[pb.EventEnvelope] = field(default_factory=list)
    subject: dict[str, object] = field(default_factory=dict)


def gather(events: Iterable[pb.EventEnvelope], model: str, version: int) -> Evidence:
    """Chooses what bears on a version: its model, its run, its data, approvals, policies.

    Args:
        events: Of the organisation, by position, as recorded.
        model: Its full name.
        version: Its number.

    Raises:
        NotFound: No such version was ever registered.
    """
    every = list(events)
    name = f"{model}/versions/{version}"
    registered = next(
        (
            one
            for one in every
            if one.type == "epochal.v1.ModelVersionRegistered"
            and _decoded(one, pb.ModelVersionRegistered).name == name
        ),
        None,
    )
    if registered is None:
        raise NotFound(f"the log up to its newest checkpoint has no {name}")
    made = _decoded(registered, pb.ModelVersionRegistered)
    project = model.partition("/models/")[0]
    roots = {model, *([made.run] if made.run else [])}
    bears = {one.position for one in every if _bears(one, roots, project, version)}
    causes = {
        one.correlation_id
        for one in every
        if one.position in bears and one.category in ("registry", "lineage")
    }
    chosen = [one for one in every if one.position in bears or one.correlation_id in causes]
    return Evidence(
        chosen,
        {
            "model": model,
            "version": version,
            "digest": made.digest,
            "run": made.run,
            "source": made.source,
            "registered_by": made.creator,
            "registered_at_position": registered.position,
            "note": "A reading for people: what is proved is events.jsonl.",
            "story": [_told(one) for one in chosen],
        },
    )


def _bears(one: pb.EventEnvelope, roots: set[str], project: str, version: int) -> bool:
    if one.type == "epochal.v1.ProjectPolicySet":
        return _decoded(one, pb.ProjectPolicySet).policy.name.startswith(project)
    if one.type == "epochal.v1.RegistryPolicySet":
        return _decoded(one, pb.RegistryPolicySet).project == project
    if one.type == "epochal.v1.DatasetUsed":
        return _decoded(one, pb.DatasetUsed).run in roots
    if not any(one.resource == root or one.resource.startswith(f"{root}/") for root in roots):
        return False
    return _number(one) in (0, version)


def _number(one: pb.EventEnvelope) -> int:
    """The version that an event of a model is of; 0 when it is of the whole model, or of none."""
    if one.category != "registry" or one.type not in EVENTS:
        return 0
    last = str(getattr(EVENTS[one.type].FromString(one.payload), "name", ""))
    number = last.rpartition("/versions/")[2] if "/versions/" in last else ""
    return int(number) if number.isdecimal() else 0


def _told(one: pb.EventEnvelope) -> dict[str, object]:
    kind = EVENTS.get(one.type)
    return {
        "position": one.position,
        "time": one.recorded_at.ToDatetime(tzinfo=UTC).isoformat(),
        "event": one.type.rpartition(".")[2],
        "actor": one.actor,
        "resource": one.resource,
        "says": MessageToDict(kind.FromString(one.payload)) if kind else {},
    }


def _decoded(one: pb.EventEnvelope, kind: type[T]) -> T:
    return kind.FromString(one.payload)
