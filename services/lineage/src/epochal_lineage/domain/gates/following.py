"""What a window would have come to under another policy: wishes decided one upon the other.

Two courses are followed side by side, what was and what would have been. A decision of the window
is made again with the holder, the stages and the metrics of the second; if every gate is open the
version moves there too. What people did past the gates (emergencies, ways back, moves of places
that nobody governed) they do in both. What nobody did, nobody does: a yes that the other policy
wants and that was never given is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal_lineage.domain.gates.evaluating import evaluate, outcome_of
from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.shelves import collection_of, last_part

_OWN_WAY = (
    pb.PROMOTION_KIND_UNSPECIFIED,
    pb.PROMOTION_KIND_EMERGENCY,
    pb.PROMOTION_KIND_ROLLBACK,
)


@dataclass
class Course:
    """Who has which place of one model, dataset or component.

    Attributes:
        pointers: version by place, for aliases of models and stages of the others.
        stages: stage of each version of a model.
    """

    model: bool
    pointers: dict[tuple[str, str], str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)

    def holder(self, stage: str, alias: str) -> str:
        """Return the version that has a place, the newest of several; empty for none."""
        if not self.model or alias:
            return self.pointers.get((stage, alias), "")
        return max((one for one, held in self.stages.items() if held == stage), key=int, default="")

    def has(self, version: str, stage: str, alias: str) -> bool:
        """Whether a version has a place."""
        if not self.model or alias:
            return self.pointers.get((stage, alias)) == version
        return self.stages.get(version) == stage

    def stages_of(self, version: str) -> list[str]:
        """Return the stages that a version has."""
        if self.model:
            return [self.stages[version]] if self.stages.get(version) else []
        return sorted(stage for (stage, _), one in self.pointers.items() if one == version)

    def give(self, version: str, stage: str, alias: str, policy: Policy | None = None) -> None:
        """Give a version a place, and take it from who had it where there is one holder."""
        if not self.model or alias:
            self.pointers[stage, alias] = version
            return
        place = policy.stages.get(stage) if policy is not None else None
        if place is not None and place.single:
            for other in [one for one, held in self.stages.items() if held == stage]:
                self.stages[other] = place.displace_to
        self.stages[version] = stage

    def places(self) -> set[tuple[str, str]]:
        """Return the places that somebody has."""
        return set(self.pointers) | {(stage, "") for stage in self.stages.values() if stage}


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision made again: where it stood, where it would, and what the gates would say."""

    before: int
    after: int
    gates: list[pb.GateResult]


class Following:
    """Follows what was, and what would have been, of the resources of one owner."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._was: dict[str, Course] = {}
        self._would: dict[str, Course] = {}
        self._metrics: dict[tuple[str, str], dict[str, float]] = {}
        self._inside: set[str] = set()
        self._done: set[str] = set()

    def see(self, resource: str, event: Message, inside: bool) -> Decided | None:
        """Follow one event; return the decision if it is one that the window has.

        Args:
            resource: that it is about.
            event: of a promotion, or a move.
            inside: whether it is in the window; before it, both courses are one.
        """
        if not isinstance(event, pb.PromotionEvaluated):
            self._move(resource, event)
            return None
        version = _version(event.facts)
        self._metrics.setdefault((resource, version), {}).update(event.facts.metrics)
        if not inside:
            return None
        self._inside.add(event.promotion)
        return self._decide(resource, event, version)

    def differences(self) -> Iterator[pb.DifferingHolder]:
        """Yield the places that another version would have."""
        for resource, was in sorted(self._was.items()):
            would = self._course(self._would, resource)
            for stage, alias in sorted(was.places() | would.places()):
                old, new = was.holder(stage, alias), would.holder(stage, alias)
                if old != new:
                    yield pb.DifferingHolder(
                        resource=resource,
                        stage=stage,
                        alias=alias,
                        was=f"{resource}/versions/{old}" if old else "",
                        would_be=f"{resource}/versions/{new}" if new else "",
                    )

    def _decide(self, resource: str, event: pb.PromotionEvaluated, version: str) -> Decided | None:
        """Make a decision again; none where the other course has moved the version before."""
        if event.promotion in self._done:
            return None
        policy = self._policy.about(collection_of(resource))
        course, facts = self._course(self._would, resource), pb.GateFacts()
        facts.CopyFrom(event.facts)
        holder = course.holder(facts.stage, facts.alias)
        self._put_holder(facts, resource, holder)
        stages = course.stages_of(version)
        facts.old_stage = stages[0] if len(stages) == 1 else ""
        facts.old_stages[:] = stages if len(stages) > 1 else []
        results = evaluate(policy, facts)
        after = outcome_of(results)
        if course.has(version, facts.stage, facts.alias):
            # Asking for what one has is granted without a question.
            after = pb.PROMOTION_STATE_COMPLETED
        if after == pb.PROMOTION_STATE_COMPLETED:
            self._done.add(event.promotion)
            course.give(version, facts.stage, facts.alias, policy)
        return Decided(outcome_of(event.results), after, results)

    def _put_holder(self, facts: pb.GateFacts, resource: str, holder: str) -> None:
        if holder == (str(facts.holder or "") or last_part(facts.holder_version)):
            return
        metrics: Mapping[str, float] = self._metrics.get((resource, holder), {})
        if self._course(self._would, resource).model:
            facts.holder = int(holder or 0)
        else:
            facts.holder_version = f"{resource}/versions/{holder}" if holder else ""
        facts.holder_metrics.clear()
        facts.holder_metrics.update(metrics)

    def _move(self, resource: str, event: Message) -> None:
        """Move in what was; in what would have been, unless a decision of the window did that."""
        both = [self._course(self._was, resource)]
        by = getattr(event, "promotion", "")
        if by not in self._inside or getattr(event, "kind", 0) in _OWN_WAY:
            both.append(self._course(self._would, resource))
        for course in both:
            match event:
                case pb.ModelAliasSet(alias=alias, version=number):
                    course.pointers["", alias] = str(number)
                case pb.ModelAliasDeleted(alias=alias):
                    course.pointers.pop(("", alias), None)
                case pb.ModelVersionStageChanged(name=name, stage=stage):
                    course.stages[last_part(name)] = stage
                case pb.ModelVersionDeleted(name=name):
                    course.stages.pop(last_part(name), None)
                case pb.DatasetStageSet(stage=stage, version=version):
                    _point(course, stage, version)
                case pb.ComponentStageSet(stage=stage, tag=version):
                    _point(course, stage, version)

    def _course(self, courses: dict[str, Course], resource: str) -> Course:
        return courses.setdefault(resource, Course(collection_of(resource) == "models"))


def _point(course: Course, stage: str, version: str) -> None:
    if version:
        course.pointers[stage, ""] = version
    else:
        course.pointers.pop((stage, ""), None)


def _version(facts: pb.GateFacts) -> str:
    return str(facts.version or "") or last_part(facts.about)
