"""A registered model as a stream: versions that never change, aliases held by one version each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class ModelState:
    """State of one model: its newest version number (0: none) and who holds each alias."""

    exists: bool = False
    latest_version: int = 0
    aliases: Mapping[str, int] = field(default_factory=dict)


class ModelAggregate:
    """Folds the stream of one model."""

    category = "registry"

    def initial(self) -> ModelState:
        """Not registered."""
        return ModelState()

    def evolve(self, state: ModelState, event: Message) -> ModelState:
        """Fold one event."""
        match event:
            case pb.ModelRegistered():
                return replace(state, exists=True)
            case pb.ModelVersionRegistered():
                return replace(state, latest_version=event.version)
            case pb.ModelAliasSet():
                return replace(state, aliases={**state.aliases, event.alias: event.version})
            case pb.ModelAliasDeleted():
                rest = {name: held for name, held in state.aliases.items() if name != event.alias}
                return replace(state, aliases=rest)
            case _:
                return state


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a new version is made of."""

    run: str
    artifact_path: str
    digest: str
    description: str
    creator: str
    alias: str = ""


def register(state: ModelState, model: str, candidate: Candidate) -> Sequence[Message]:
    """Register the next version, the model too if it is new, and point an alias if asked."""
    version = state.latest_version + 1
    events: list[Message] = [] if state.exists else [pb.ModelRegistered(name=model)]
    events.append(
        pb.ModelVersionRegistered(
            name=f"{model}/versions/{version}",
            version=version,
            run=candidate.run,
            artifact_path=candidate.artifact_path,
            digest=candidate.digest,
            description=candidate.description,
            creator=candidate.creator,
        )
    )
    if candidate.alias:
        events.append(_alias_set(state, model, candidate.alias, version))
    return events


def set_alias(state: ModelState, model: str, alias: str, version: int) -> Sequence[Message]:
    """Point an alias to a version; one that points there already stays.

    Raises:
        NotFound: no such model or version.
    """
    _require(state, model)
    if version > state.latest_version:
        raise NotFound(
            f"{model} has versions 1 to {state.latest_version}, not {version}",
            resource=f"{model}/versions/{version}",
        )
    if state.aliases.get(alias) == version:
        return []
    return [_alias_set(state, model, alias, version)]


def delete_alias(state: ModelState, model: str, alias: str) -> Sequence[Message]:
    """Remove an alias.

    Raises:
        NotFound: no such model or alias.
    """
    _require(state, model)
    if alias not in state.aliases:
        known = ", ".join(sorted(state.aliases)) or "none"
        raise NotFound(f"{model} has no alias {alias!r}; it has {known}", resource=model)
    return [pb.ModelAliasDeleted(model=model, alias=alias, old_version=state.aliases[alias])]


def _require(state: ModelState, model: str) -> None:
    if not state.exists:
        raise NotFound(f"there is no {model}", resource=model)


def _alias_set(state: ModelState, model: str, alias: str, version: int) -> pb.ModelAliasSet:
    return pb.ModelAliasSet(
        model=model, alias=alias, version=version, old_version=state.aliases.get(alias, 0)
    )
