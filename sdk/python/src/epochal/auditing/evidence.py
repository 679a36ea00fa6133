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
    scope = _scope_of(every, model, name, made.run)
    bears = {one.position for one in every if scope.bears(one)}
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
            "deployments": sorted(scope.deployments),
            "chapters": _chapters(chosen, scope),
            "note": "A reading for people: what is proved is events.jsonl.",
            "story": [_told(one) for one in chosen],
        },
    )


@dataclass(frozen=True)
class _Scope:
    """What is about a version: its model, the run it came from, the runs that serve it."""

    model: str
    version: int
    project: str
    trained_by: str
    deployments: frozenset[str]
    other_promotions: frozenset[str]

    def bears(self, one: pb.EventEnvelope) -> bool:
        """Whether an event is about the version."""
        match _payload(one):
            case pb.ProjectPolicySet() as set_:
                return set_.policy.name.startswith(self.project)
            case pb.RegistryPolicySet() as set_:
                return set_.project == self.project
            case pb.DatasetUsed(run=run) | pb.ModelVersionUsed(run=run):
                return run == self.trained_by or run in self.deployments
            case pb.PromotionRequested(name=promotion):
                return self._has(one.resource) and promotion not in self.other_promotions
            case (
                pb.PromotionEvaluated(promotion=promotion)
                | pb.PromotionApproved(promotion=promotion)
                | pb.PromotionRejected(promotion=promotion)
                | pb.PromotionCompleted(promotion=promotion)
                | pb.PromotionReviewed(promotion=promotion)
            ):
                return self._has(one.resource) and promotion not in self.other_promotions
        return self._has(one.resource) and _number(one) in (0, self.version)

    def _has(self, resource: str) -> bool:
        roots = {self.model, *self.deployments, *([self.trained_by] if self.trained_by else ())}
        return any(resource == root or resource.startswith(f"{root}/") for root in roots)

    def chapter(self, one: pb.EventEnvelope) -> str:
        """Return which part of the story an event tells."""
        if one.category == "monitor":
            return "monitoring"
        if any(one.resource.startswith(run) for run in self.deployments):
            return "deployments"
        kind = one.type.rpartition(".")[2]
        if kind.startswith(("Dataset", "ColumnsDerived", "OpenLineage")):
            return "data"
        if one.category in ("run", "pipeline", "queue") and kind != "ProjectPolicySet":
            return "runs"
        if one.category in ("registry", "lineage", "queue"):
            return "approvals" if kind.startswith(_DECISIONS) else "model"
        return "metrics" if one.category == "telemetry" else "runs"


_DECISIONS = (
    "Promotion", "RegistryPolicy", "ProjectPolicy", "ModelAlias", "ModelVersionStage",
)  # fmt: skip


def _scope_of(every: Iterable[pb.EventEnvelope], model: str, name: str, trained_by: str) -> _Scope:
    deployments: set[str] = set()
    others: set[str] = set()
    for one in every:
        match _payload(one):
            case pb.ModelVersionUsed(run=run, model_version=used) if used == name:
                deployments.add(run)
            case pb.PromotionRequested(name=promotion, model_version=wanted) if wanted != name:
                others.add(promotion)
    return _Scope(
        model,
        int(name.rpartition("/")[2]),
        model.partition("/models/")[0],
        trained_by,
        frozenset(deployments - {trained_by}),
        frozenset(others),
    )


def _chapters(chosen: Iterable[pb.EventEnvelope], scope: _Scope) -> dict[str, list[int]]:
    """Positions by chapter, in the order in which a reader asks."""
    order = ("data", "runs", "metrics", "model", "approvals", "deployments", "monitoring")
    chapters: dict[str, list[int]] = {name: [] for name in order}
    for one in chosen:
        chapters[scope.chapter(one)].append(one.position)
    return chapters


#: Events that are looked into to find out what they are about.
_LOOKED_INTO = {
    f"epochal.v1.{kind.__name__}": kind
    for kind in (
        pb.ProjectPolicySet,
        pb.RegistryPolicySet,
        pb.DatasetUsed,
        pb.ModelVersionUsed,
        pb.PromotionRequested,
        pb.PromotionEvaluated,
        pb.PromotionApproved,
        pb.PromotionRejected,
        pb.PromotionCompleted,
        pb.PromotionReviewed,
    )
}


def _payload(one: pb.EventEnvelope) -> Message | None:
    kind = _LOOKED_INTO.get(one.type)
    return kind.FromString(one.payload) if kind is not None else None


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
