"""What may be done to a registered model as a whole, and how versions come to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, NotFound
from google.protobuf.message import Message

from epochal_lineage.domain.model import (
    ModelState,
    refuse_deleted,
    require_model,
    require_version,
)
from epochal_lineage.domain.tags import tag_change

#: So that an event stays far below what the broker carries.
FILES_IN_EVENT = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a new version is made of.

    Attributes:
        files: every file of it, by path.
        metrics: what was measured of it so far.
        signature_json: schema of what goes in and out.
        signed_by: key that signed its files, with the bundle; both empty when none did.
    """

    run: str
    artifact_path: str
    digest: str
    description: str
    creator: str
    alias: str = ""
    source: str = ""
    logged_model: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[pb.ModelVersionFile] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    flavor: str = ""
    signature_json: str = ""
    signed_by: str = ""
    bundle: str = ""


def create(state: ModelState, registered: pb.ModelRegistered) -> Sequence[Message]:
    """Register a model that has no version yet.

    Raises:
        AlreadyExists: there is one of this name.
        FailedPrecondition: there was one, and it is deleted.
    """
    refuse_deleted(state, registered.name)
    if state.exists:
        raise AlreadyExists(f"{registered.name} is registered already", resource=registered.name)
    return [registered]


def register(state: ModelState, model: str, candidate: Candidate) -> Sequence[Message]:
    """Register the next version, the model too if it is new, and point an alias if asked.

    Raises:
        FailedPrecondition: the model is deleted.
    """
    refuse_deleted(state, model)
    version = state.latest_version + 1
    events: list[Message] = (
        [] if state.exists else [pb.ModelRegistered(name=model, creator=candidate.creator)]
    )
    events.append(
        pb.ModelVersionRegistered(
            name=f"{model}/versions/{version}",
            version=version,
            run=candidate.run,
            artifact_path=candidate.artifact_path,
            digest=candidate.digest,
            description=candidate.description,
            creator=candidate.creator,
            source=candidate.source,
            logged_model=candidate.logged_model,
            tags=candidate.tags,
            metrics=candidate.metrics,
            flavor=candidate.flavor,
            signature_json=candidate.signature_json,
            file_count=len(candidate.files),
            size_bytes=sum(file.size_bytes for file in candidate.files),
        )
    )
    name = f"{model}/versions/{version}"
    for start in range(0, len(candidate.files), FILES_IN_EVENT):
        some = candidate.files[start : start + FILES_IN_EVENT]
        events.append(pb.ModelVersionFilesListed(name=name, files=some))
    if candidate.bundle:
        events.append(
            pb.ModelVersionSigned(
                name=name,
                key=candidate.signed_by,
                bundle=candidate.bundle,
                creator=candidate.creator,
            )
        )
    if candidate.alias:
        events.append(_alias_set(state, model, candidate.alias, version))
    return events


def rename(state: ModelState, model: str, display_name: str) -> Sequence[Message]:
    """Call a model something else.

    Raises:
        NotFound: no such model.
    """
    require_model(state, model)
    if state.display_name == display_name:
        return []
    return [
        pb.ModelRenamed(model=model, display_name=display_name, old_display_name=state.display_name)
    ]


def describe(state: ModelState, model: str, description: str) -> Sequence[Message]:
    """Describe a model anew.

    Raises:
        NotFound: no such model.
    """
    require_model(state, model)
    if state.description == description:
        return []
    return [
        pb.ModelDescribed(model=model, description=description, old_description=state.description)
    ]


def tag(
    state: ModelState, model: str, tags: Mapping[str, str], removed: Iterable[str]
) -> Sequence[Message]:
    """Set and remove tags.

    Raises:
        NotFound: no such model.
    """
    require_model(state, model)
    change = tag_change(state.tags, tags, removed)
    return [pb.ModelTagged(model=model, tags=change.tags, removed=change.removed)] if change else []


def write_card(
    state: ModelState, name: str, section: pb.CardSection, text: str, author: str
) -> Sequence[Message]:
    """Write a section of the card of a model, or of one of its versions.

    Raises:
        NotFound: no such model or version.
    """
    model, _, version = name.partition("/versions/")
    if version:
        require_version(state, model, int(version))
    else:
        require_model(state, model)
    if state.written.get((name, section), "") == text:
        return []
    return [pb.CardSectionWritten(name=name, section=section, text=text, author=author)]


def delete(state: ModelState, model: str) -> Sequence[Message]:
    """Delete a model.

    Raises:
        NotFound: no such model.
    """
    require_model(state, model)
    return [pb.ModelDeleted(model=model)]


def set_alias(state: ModelState, model: str, alias: str, version: int) -> Sequence[Message]:
    """Point an alias to a version; one that points there already stays.

    Raises:
        NotFound: no such model or version.
    """
    require_version(state, model, version)
    if state.aliases.get(alias) == version:
        return []
    return [_alias_set(state, model, alias, version)]


def delete_alias(state: ModelState, model: str, alias: str) -> Sequence[Message]:
    """Remove an alias.

    Raises:
        NotFound: no such model or alias.
    """
    require_model(state, model)
    if alias not in state.aliases:
        known = ", ".join(sorted(state.aliases)) or "none"
        raise NotFound(f"{model} has no alias {alias!r}; it has {known}", resource=model)
    return [pb.ModelAliasDeleted(model=model, alias=alias, old_version=state.aliases[alias])]


def _alias_set(state: ModelState, model: str, alias: str, version: int) -> pb.ModelAliasSet:
    return pb.ModelAliasSet(
        model=model, alias=alias, version=version, old_version=state.aliases.get(alias, 0)
    )
