"""What may be done to one version: describe, tag, stage, delete. Its bytes never change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal_lineage.domain.model import ModelState, require_version
from epochal_lineage.domain.tags import tag_change

ARCHIVED = "Archived"


def describe_version(
    state: ModelState, model: str, version: int, description: str
) -> Sequence[Message]:
    """Describe a version anew.

    Raises:
        NotFound: no such version.
    """
    known = require_version(state, model, version)
    if known.description == description:
        return []
    return [
        pb.ModelVersionDescribed(
            name=f"{model}/versions/{version}",
            description=description,
            old_description=known.description,
        )
    ]


def tag_version(
    state: ModelState, model: str, version: int, tags: Mapping[str, str], removed: Iterable[str]
) -> Sequence[Message]:
    """Set and remove tags of a version.

    Raises:
        NotFound: no such version.
    """
    change = tag_change(require_version(state, model, version).tags, tags, removed)
    if not change:
        return []
    name = f"{model}/versions/{version}"
    return [pb.ModelVersionTagged(name=name, tags=change.tags, removed=change.removed)]


def set_stage(
    state: ModelState, model: str, version: int, stage: str, reason: str, *, archive_existing: bool
) -> Sequence[Message]:
    """Move a version to a stage; those that are there go to the archive if asked.

    Raises:
        NotFound: no such version.
    """
    known = require_version(state, model, version)
    events: list[Message] = []
    if archive_existing and stage:
        events += [
            _moved(model, number, ARCHIVED, other.stage, reason)
            for number, other in sorted(state.versions.items())
            if number != version and other.stage == stage and not other.deleted
        ]
    if known.stage != stage:
        events.append(_moved(model, version, stage, known.stage, reason))
    return events


def delete_version(state: ModelState, model: str, version: int) -> Sequence[Message]:
    """Delete a version, and the aliases that it holds.

    Raises:
        NotFound: no such version.
    """
    require_version(state, model, version)
    held = sorted(alias for alias, number in state.aliases.items() if number == version)
    return [
        *(pb.ModelAliasDeleted(model=model, alias=alias, old_version=version) for alias in held),
        pb.ModelVersionDeleted(name=f"{model}/versions/{version}"),
    ]


def sign_version(
    state: ModelState, model: str, version: int, key: str, bundle: str, creator: str
) -> Sequence[Message]:
    """Add a signature; one by a key that has signed already stands.

    Raises:
        NotFound: no such version.
    """
    if key in require_version(state, model, version).signed_by:
        return []
    name = f"{model}/versions/{version}"
    return [pb.ModelVersionSigned(name=name, key=key, bundle=bundle, creator=creator)]


def _moved(
    model: str, version: int, stage: str, old_stage: str, reason: str
) -> pb.ModelVersionStageChanged:
    return pb.ModelVersionStageChanged(
        name=f"{model}/versions/{version}", stage=stage, old_stage=old_stage, reason=reason
    )
