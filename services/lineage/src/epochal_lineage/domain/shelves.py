"""Stages of a dataset or a component as a stream: each belongs to one of its versions.

A stage is a pointer: a version may have several, and gets none by losing one. Versions themselves
are not of this stream: runs tell of datasets, and the scheduler registers components. Whoever
decides looks first whether there is such a version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition
from google.protobuf.message import Message

from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.governing import refuse_taking
from epochal_lineage.domain.promotions import Promotions, Wish, place_key

LATEST: Final = "latest"


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is known of stages.

    Attributes:
        held: version that has each stage, by the last part of its name.
        touched: stages that the stream has spoken of.
        promotions: what was asked for, and who had which stage.
    """

    held: Mapping[str, str] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()
    promotions: Promotions[str] = field(default_factory=Promotions)

    def since(self, before: Mapping[str, str]) -> Shelf:
        """Return it with what had the stages before this stream spoke of them."""
        older = {stage: one for stage, one in before.items() if stage not in self.touched}
        return replace(self, held={**older, **self.held}) if older else self

    def require(self, resource: str) -> None:
        """Nothing: whoever decides has looked."""

    def require_version(self, resource: str, version: str) -> None:
        """Refuse a version that moves by itself.

        Raises:
            FailedPrecondition: it is the `latest` of a component.
        """
        if version == LATEST and collection_of(resource) == "components":
            raise FailedPrecondition(
                f"{resource}:latest moves by itself: give the stage to a version that stays",
                reason="VERSION_MOVES",
                resource=resource,
            )

    def holder(self, stage: str, alias: str) -> str | None:
        """Return the version that has a stage."""
        return self.held.get(stage)

    def has(self, version: str, stage: str, alias: str) -> bool:
        """Whether a version has a stage."""
        return self.held.get(stage) == version

    def stages_of(self, version: str) -> tuple[str, ...]:
        """Return the stages that a version has."""
        return tuple(sorted(stage for stage, held in self.held.items() if held == version))

    def leaves(self, version: str, stage: str, alias: str) -> str:
        """Return no stage: a version keeps what it has."""
        return ""

    def gone(self) -> frozenset[str]:
        """Return no version: the stream does not say which are deleted."""
        return frozenset()

    def moves(
        self, resource: str, wish: Wish[str], policy: Policy, promotion: str
    ) -> Sequence[Message]:
        """Return the event that gives a version a stage, and so takes it from who had it."""
        old = self.held.get(wish.stage, "")
        return [
            _set(resource, wish.stage, wish.version, old, wish.reason, promotion, wish.kind),
        ]

    def numbered(self, resource: str, version: str | None) -> tuple[int, str]:
        """Return a version as facts name it: by its full name."""
        return 0, "" if version is None else f"{resource}/versions/{version}"


class ShelfAggregate:
    """Folds the stages of one dataset or component."""

    category = "registry"

    def initial(self) -> Shelf:
        """No stages."""
        return Shelf()

    def evolve(self, state: Shelf, event: Message) -> Shelf:
        """Fold one event."""
        match event:
            case pb.DatasetStageSet(stage=stage, version=version, old_version=old, kind=kind):
                return _moved(state, stage, version, old, kind)
            case pb.ComponentStageSet(stage=stage, tag=version, old_tag=old, kind=kind):
                return _moved(state, stage, version, old, kind)
            case _:
                promotions = state.promotions.after(event, last_part)
                return (
                    state
                    if promotions is state.promotions
                    else replace(state, promotions=promotions)
                )


def take_stage(
    state: Shelf, resource: str, stage: str, version: str, reason: str, policy: Policy
) -> Sequence[Message]:
    """Take a stage away from the version that has it.

    Raises:
        FailedPrecondition: it has it not, or the policy governs the stage.
    """
    holder = state.held.get(stage, "")
    if holder != version:
        raise FailedPrecondition(
            f"{version} of {resource} is not in {stage}" + (f", {holder} is" if holder else ""),
            reason="STAGE_NOT_HELD",
            resource=resource,
        )
    refuse_taking(policy, stage, f"{version} of {resource}")
    return [_set(resource, stage, "", version, reason, "", pb.PROMOTION_KIND_UNSPECIFIED)]


def collection_of(resource: str) -> str:
    """Return what a resource is one of: "models", "datasets", "components"."""
    return resource.split("/")[-2]


def owner_of(resource: str) -> str:
    """Return the project of a model or dataset, the organisation of a component."""
    return "/".join(resource.split("/")[:-2])


def run_of(actor: str, owner: str) -> str:
    """Return the full name of the run that acts; empty when a person does.

    A run acts in its own project alone, and is called by its id: whoever started it is behind it.
    """
    return f"{owner}/{actor}" if actor.startswith("runs/") else ""


def last_part(name: str) -> str:
    """Return what tells a version from others, out of its name."""
    return name.rpartition("/versions/")[2]


def _moved(state: Shelf, stage: str, version: str, old: str, kind: int) -> Shelf:
    held = {name: one for name, one in state.held.items() if name != stage}
    promotions, place = state.promotions, place_key(stage, "")
    if old and place not in promotions.held:
        promotions = promotions.holding(place, old, pb.PROMOTION_KIND_UNSPECIFIED)
    if version:
        held[stage] = version
        promotions = promotions.holding(place, version, kind)
    return Shelf(held, state.touched | {stage}, promotions)


def _set(
    resource: str, stage: str, version: str, old: str, reason: str, promotion: str, kind: int
) -> Message:
    if collection_of(resource) == "datasets":
        return pb.DatasetStageSet(
            dataset=resource,
            stage=stage,
            version=version,
            old_version=old,
            reason=reason,
            promotion=promotion,
            kind=kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
        )
    return pb.ComponentStageSet(
        component=resource,
        stage=stage,
        tag=version,
        old_tag=old,
        reason=reason,
        promotion=promotion,
        kind=kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
    )
