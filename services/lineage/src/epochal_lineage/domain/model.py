"""A registered model as a stream: versions that never change, aliases held by one version each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound
from google.protobuf.message import Message

from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.promotions import Promotions, Wish, place_key
from epochal_lineage.domain.tags import changed_tags


@dataclass(frozen=True, slots=True)
class VersionState:
    """What can change of one version, and what decisions about it look at."""

    stage: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    deleted: bool = False
    creator: str = ""
    run: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    signed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelState:
    """State of one model.

    Attributes:
        exists: whether it was ever registered.
        deleted: whether it is gone; its name is not used again.
        display_name: as people call it; empty for the last part of its name.
        latest_version: newest number given out, 0 for none.
        aliases: version that holds each.
        versions: by number.
        promotions: what was asked for, and who had which place.
        written: what people wrote in its card, by resource and section.
    """

    exists: bool = False
    deleted: bool = False
    display_name: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    latest_version: int = 0
    aliases: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[int, VersionState] = field(default_factory=dict)
    promotions: Promotions[int] = field(default_factory=Promotions)
    written: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def require(self, resource: str) -> None:
        """Refuse a model that is not there.

        Raises:
            NotFound: it was never registered, or is deleted.
        """
        require_model(self, resource)

    def require_version(self, resource: str, version: int) -> None:
        """Refuse a version that is not there.

        Raises:
            NotFound: no such model or version, or it is deleted.
        """
        require_version(self, resource, version)

    def holder(self, stage: str, alias: str) -> int | None:
        """Return the version that has a place, the newest of several."""
        if alias:
            return self.aliases.get(alias)
        return max(
            (
                number
                for number, one in self.versions.items()
                if one.stage == stage and not one.deleted
            ),
            default=None,
        )

    def has(self, version: int, stage: str, alias: str) -> bool:
        """Whether a version has a place."""
        if alias:
            return self.aliases.get(alias) == version
        known = self.versions.get(version)
        return known is not None and known.stage == stage

    def stages_of(self, version: int) -> tuple[str, ...]:
        """Return the stage that a version has: one at most."""
        known = self.versions.get(version)
        return (known.stage,) if known is not None and known.stage else ()

    def leaves(self, version: int, stage: str, alias: str) -> str:
        """Return the stage that a version would lose: it has one at a time."""
        return "" if alias else next((one for one in self.stages_of(version) if one != stage), "")

    def gone(self) -> frozenset[int]:
        """Return versions that are deleted."""
        return frozenset(number for number, one in self.versions.items() if one.deleted)

    def moves(
        self, resource: str, wish: Wish[int], policy: Policy, promotion: str
    ) -> Sequence[Message]:
        """Return the events that give a version its place, and take it from who had it."""
        if wish.alias:
            return [
                pb.ModelAliasSet(
                    model=resource,
                    alias=wish.alias,
                    version=wish.version,
                    old_version=self.holder("", wish.alias) or 0,
                    promotion=promotion,
                    kind=wish.kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
                )
            ]
        place = policy.stages.get(wish.stage)
        displaced = (
            [
                number
                for number, one in sorted(self.versions.items())
                if number != wish.version and one.stage == wish.stage and not one.deleted
            ]
            if place is not None and place.single
            else []
        )
        to = {number: place.displace_to for number in displaced} if place is not None else {}
        return [
            pb.ModelVersionStageChanged(
                name=f"{resource}/versions/{number}",
                stage=stage,
                old_stage=self.versions[number].stage,
                promotion=promotion,
                kind=wish.kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
            )
            for number, stage in [*to.items(), (wish.version, wish.stage)]
        ]

    def numbered(self, resource: str, version: int | None) -> tuple[int, str]:
        """Return a version as facts name it: by its number."""
        return version or 0, ""


class ModelAggregate:
    """Folds the stream of one model."""

    category = "registry"

    def initial(self) -> ModelState:
        """Not registered."""
        return ModelState()

    def evolve(self, state: ModelState, event: Message) -> ModelState:
        """Fold one event."""
        promotions = state.promotions.after(event, version_number)
        match event:
            case pb.ModelAliasSet(alias=alias, version=version, kind=kind):
                promotions = promotions.holding(place_key("", alias), version, kind)
            case pb.ModelVersionStageChanged(name=name, stage=stage, kind=kind) if stage:
                promotions = promotions.holding(place_key(stage, ""), version_number(name), kind)
            case _:
                pass
        if promotions is not state.promotions:
            state = replace(state, promotions=promotions)
        match event:
            case pb.ModelRegistered():
                return replace(
                    state,
                    exists=True,
                    display_name=event.display_name,
                    description=event.description,
                    tags=dict(event.tags),
                )
            case pb.ModelRenamed():
                return replace(state, display_name=event.display_name)
            case pb.ModelDescribed():
                return replace(state, description=event.description)
            case pb.ModelTagged():
                return replace(state, tags=changed_tags(state.tags, event.tags, event.removed))
            case pb.ModelDeleted():
                return replace(state, deleted=True, aliases={})
            case pb.CardSectionWritten():
                key = (event.name, event.section)
                return replace(state, written={**state.written, key: event.text})
            case pb.ModelAliasSet():
                return replace(state, aliases={**state.aliases, event.alias: event.version})
            case pb.ModelAliasDeleted():
                rest = {name: held for name, held in state.aliases.items() if name != event.alias}
                return replace(state, aliases=rest)
            case _:
                return _evolve_version(state, event)


def _evolve_version(state: ModelState, event: Message) -> ModelState:
    match event:
        case pb.ModelVersionRegistered():
            version = VersionState(
                description=event.description,
                tags=dict(event.tags),
                creator=event.creator,
                run=event.run,
                metrics=dict(event.metrics),
            )
            return replace(
                state,
                latest_version=event.version,
                versions={**state.versions, event.version: version},
            )
        case pb.ModelVersionDescribed():
            return _with(state, event.name, lambda v: replace(v, description=event.description))
        case pb.ModelVersionTagged():
            return _with(
                state,
                event.name,
                lambda v: replace(v, tags=changed_tags(v.tags, event.tags, event.removed)),
            )
        case pb.ModelVersionStageChanged():
            return _with(state, event.name, lambda v: replace(v, stage=event.stage))
        case pb.ModelVersionSigned():
            return _with(
                state,
                event.name,
                lambda v: replace(v, signed_by=tuple(sorted({*v.signed_by, event.key}))),
            )
        case pb.ModelVersionDeleted():
            return _with(state, event.name, lambda v: replace(v, deleted=True, stage=""))
        case _:
            return state


def version_number(name: str) -> int:
    """Return the number that the name of a version ends in; 0 when it ends in none."""
    number = name.rpartition("/versions/")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def require_model(state: ModelState, model: str) -> None:
    """Refuse what is asked of a model that is not there.

    Raises:
        NotFound: it was never registered, or is deleted.
    """
    if not state.exists:
        raise NotFound(f"there is no {model}", resource=model)
    if state.deleted:
        raise NotFound(f"{model} was deleted", resource=model, reason="MODEL_DELETED")


def require_version(state: ModelState, model: str, version: int) -> VersionState:
    """Return a version of a model.

    Raises:
        NotFound: no such model or version, or it is deleted.
    """
    require_model(state, model)
    name = f"{model}/versions/{version}"
    known = state.versions.get(version)
    if known is None:
        raise NotFound(
            f"{model} has versions 1 to {state.latest_version}, not {version}"
            if state.latest_version
            else f"{model} has no version yet",
            resource=name,
        )
    if known.deleted:
        raise NotFound(f"{name} was deleted", resource=name, reason="MODEL_VERSION_DELETED")
    return known


def refuse_deleted(state: ModelState, model: str) -> None:
    """Refuse to give the name of a deleted model to another.

    Raises:
        FailedPrecondition: it is deleted.
    """
    if state.deleted:
        raise FailedPrecondition(
            f"{model} was deleted and its history keeps its name: choose another one",
            reason="MODEL_DELETED",
            resource=model,
        )


def _with(
    state: ModelState, name: str, change: Callable[[VersionState], VersionState]
) -> ModelState:
    number = version_number(name)
    known = state.versions.get(number)
    if known is None:
        return state
    return replace(state, versions={**state.versions, number: change(known)})
