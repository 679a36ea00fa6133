"""What each event changes of what stands: a thing's fields, or that it is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

import epochal_proto.v1 as pb
from google.protobuf import json_format
from google.protobuf.message import Message

#: Fields that no reader of the log needs: hashes of secrets, and sealed ones.
SECRET_FIELDS: Final = frozenset({"secret_sha256", "sealed_channel"})


class Key(NamedTuple):
    """A thing."""

    kind: int
    name: str


Fields = Callable[[Key], dict[str, str]]
Fold = Callable[[Message, Fields], dict[Key, dict[str, str] | None]]

E = TypeVar("E", bound=Message)


def _member(parent: str, user: str, role: int) -> dict[Key, dict[str, str] | None]:
    name = pb.Role.Name(role).removeprefix("ROLE_").lower()
    return {
        Key(pb.STATE_KIND_MEMBERS, f"{parent}/members/{user.removeprefix('users/')}"): {
            "user": user,
            "role": name,
        }
    }


def _merged(key: Key, fields: Fields, **changed: str) -> dict[Key, dict[str, str] | None]:
    return {key: fields(key) | changed}


def _tagged(
    key: Key, fields: Fields, tags: Mapping[str, str], removed: list[str]
) -> dict[Key, dict[str, str] | None]:
    kept = fields(key) | {f"tags.{name}": value for name, value in tags.items()}
    for name in removed:
        kept.pop(f"tags.{name}", None)
    return {key: kept}


def flat(message: Message) -> dict[str, str]:
    """The fields of a message as text, those of messages in it with a dot between."""
    found: dict[str, str] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else str(name), inner)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(f"{prefix}.{number}", inner)
        else:
            found[prefix] = value if isinstance(value, str) else str(value).lower()

    walk("", json_format.MessageToDict(message, preserving_proto_field_name=True))
    for ours in ("name", "etag", *SECRET_FIELDS):
        found.pop(ours, None)
    return found


def _model(name: str) -> Key:
    return Key(pb.STATE_KIND_MODELS, name)


def _version(name: str) -> Key:
    return Key(pb.STATE_KIND_MODEL_VERSIONS, name)


def _project(name: str) -> Key:
    return Key(pb.STATE_KIND_PROJECTS, name)


def _registered(
    event: pb.ModelVersionRegistered, fields: Fields
) -> dict[Key, dict[str, str] | None]:
    model = _model(event.name.rpartition("/versions/")[0])
    version = {
        "run": event.run,
        "digest": event.digest,
        "description": event.description,
        "creator": event.creator,
        "source": event.source,
    } | {f"tags.{name}": value for name, value in event.tags.items()}
    return {
        _version(event.name): {name: text for name, text in version.items() if text},
        model: fields(model) | {"latest_version": str(event.version)},
    }


def _promotion(name: str) -> Key:
    return Key(pb.STATE_KIND_PROMOTIONS, name)


def _promotion_state(state: int) -> str:
    return pb.PromotionState.Name(state).removeprefix("PROMOTION_STATE_").lower()


def _requested(event: pb.PromotionRequested) -> dict[str, str]:
    wished = {
        "model_version": event.model_version,
        "stage": event.stage,
        "alias": event.alias,
        "kind": pb.PromotionKind.Name(event.kind).removeprefix("PROMOTION_KIND_").lower(),
        "requester": event.requester,
        "reason": event.reason,
    }
    return {name: text for name, text in wished.items() if text}


def _alias_gone(event: pb.ModelAliasDeleted, fields: Fields) -> dict[Key, dict[str, str] | None]:
    kept = fields(_model(event.model))
    kept.pop(f"alias.{event.alias}", None)
    return {_model(event.model): kept}


def _restaged(
    kind: int, resource: str, stage: str, version: str, old: str, fields: Fields
) -> dict[Key, dict[str, str] | None]:
    """A stage has gone from one version to another; a dataset's is told of while it has one."""
    found: dict[Key, dict[str, str] | None] = {}
    if old:
        left = Key(kind, f"{resource}/versions/{old}")
        kept = {name: text for name, text in fields(left).items() if name != f"stage.{stage}"}
        found[left] = kept or None
    if version:
        given = Key(kind, f"{resource}/versions/{version}")
        found |= _merged(given, fields, **{f"stage.{stage}": "held"})
    return found


def _token(event: pb.TokenIssued) -> dict[Key, dict[str, str] | None]:
    found = {"user": event.user, "scopes": " ".join(event.scopes), "name": event.display_name}
    if event.HasField("expire_time"):
        found["expires"] = event.expire_time.ToJsonString()
    return {Key(pb.STATE_KIND_TOKENS, event.name): {k: v for k, v in found.items() if v}}


FOLDS: Final[dict[str, Fold]] = {}


def _on(kind: type[E], fold: Callable[[E, Fields], dict[Key, dict[str, str] | None]]) -> None:
    def typed(event: Message, fields: Fields) -> dict[Key, dict[str, str] | None]:
        assert isinstance(event, kind)
        return fold(event, fields)

    FOLDS[kind.DESCRIPTOR.full_name] = typed


_on(pb.MemberAdded, lambda e, _: _member(e.parent, e.user, e.role))
_on(pb.MemberRoleChanged, lambda e, _: _member(e.parent, e.user, e.new_role))
_on(pb.MemberRemoved, lambda e, _: dict.fromkeys(_member(e.parent, e.user, 0)))
_on(pb.TokenIssued, lambda e, _: _token(e))
_on(pb.TokenRevoked, lambda e, _: {Key(pb.STATE_KIND_TOKENS, e.name): None})
_on(
    pb.ProjectCreated,
    lambda e, f: _merged(
        _project(e.name), f, display_name=e.display_name, description=e.description
    ),
)
_on(
    pb.ProjectDescribed,
    lambda e, f: _merged(
        _project(e.name), f, display_name=e.display_name, description=e.description
    ),
)
_on(pb.ProjectArchived, lambda e, f: _merged(_project(e.name), f, archived="true"))
_on(pb.ProjectRestored, lambda e, f: _merged(_project(e.name), f, archived=""))
_on(pb.ProjectTagsSet, lambda e, f: _tagged(_project(e.name), f, e.tags, list(e.removed)))
_on(
    pb.ModelRegistered,
    lambda e, f: _tagged(
        _model(e.name),
        lambda key: {
            "display_name": e.display_name,
            "description": e.description,
            "creator": e.creator,
        },
        e.tags,
        [],
    ),
)
_on(pb.ModelRenamed, lambda e, f: _merged(_model(e.model), f, display_name=e.display_name))
_on(pb.ModelDescribed, lambda e, f: _merged(_model(e.model), f, description=e.description))
_on(pb.ModelTagged, lambda e, f: _tagged(_model(e.model), f, e.tags, list(e.removed)))
_on(pb.ModelDeleted, lambda e, _: {_model(e.model): None})
_on(
    pb.ModelAliasSet,
    lambda e, f: _merged(_model(e.model), f, **{f"alias.{e.alias}": str(e.version)}),
)
_on(pb.ModelAliasDeleted, _alias_gone)
_on(pb.ModelVersionRegistered, _registered)
_on(pb.ModelVersionDescribed, lambda e, f: _merged(_version(e.name), f, description=e.description))
_on(pb.ModelVersionTagged, lambda e, f: _tagged(_version(e.name), f, e.tags, list(e.removed)))
_on(pb.ModelVersionStageChanged, lambda e, f: _merged(_version(e.name), f, stage=e.stage))
_on(pb.ModelVersionDeleted, lambda e, _: {_version(e.name): None})
_on(
    pb.ModelVersionSigned,
    lambda e, f: _merged(_version(e.name), f, **{f"signed.{e.key}": e.creator}),
)
_on(
    pb.CardSectionWritten,
    lambda e, f: _merged(
        _version(e.name) if "/versions/" in e.name else _model(e.name),
        f,
        **{f"card.{pb.CardSection.Name(e.section).removeprefix('CARD_SECTION_').lower()}": e.text},
    ),
)
_on(
    pb.RegistryPolicySet,
    lambda e, _: {
        Key(pb.STATE_KIND_REGISTRY_POLICIES, f"{e.project}/registryPolicy"): (
            {"version": str(e.version), "digest": e.digest, "text": e.text, "author": e.author}
            if e.text
            else None
        )
    },
)
_on(pb.PromotionRequested, lambda e, _: {_promotion(e.name): _requested(e)})
_on(
    pb.PromotionEvaluated,
    lambda e, f: _merged(
        _promotion(e.promotion),
        f,
        state=_promotion_state(e.outcome),
        policy_version=str(e.policy_version),
        policy_digest=e.policy_digest,
    ),
)
_on(
    pb.PromotionApproved,
    lambda e, f: _merged(_promotion(e.promotion), f, **{f"approved.{e.approver}": e.role}),
)
_on(
    pb.PromotionRejected,
    lambda e, f: _merged(
        _promotion(e.promotion),
        f,
        state=_promotion_state(pb.PROMOTION_STATE_REJECTED),
        rejecter=e.rejecter,
    ),
)
_on(
    pb.PromotionCompleted,
    lambda e, f: _merged(
        _promotion(e.promotion), f, state=_promotion_state(pb.PROMOTION_STATE_COMPLETED)
    ),
)
_on(
    pb.PromotionReviewed,
    lambda e, f: _merged(_promotion(e.promotion), f, reviewer=e.reviewer),
)
_on(
    pb.DatasetStageSet,
    lambda e, f: _restaged(pb.STATE_KIND_DATASETS, e.dataset, e.stage, e.version, e.old_version, f),
)
_on(
    pb.ComponentStageSet,
    lambda e, f: _restaged(pb.STATE_KIND_COMPONENTS, e.component, e.stage, e.tag, e.old_tag, f),
)
_on(
    pb.ComponentRegistered,
    lambda e, f: _merged(
        Key(pb.STATE_KIND_COMPONENTS, e.name), f, digest=e.digest, description=e.description
    ),
)
_on(pb.ComponentDeleted, lambda e, _: {Key(pb.STATE_KIND_COMPONENTS, e.name): None})
_on(
    pb.ProjectPolicySet,
    lambda e, _: {Key(pb.STATE_KIND_POLICIES, e.policy.name): flat(e.policy)},
)
_on(pb.QueueConfigured, lambda e, _: {Key(pb.STATE_KIND_QUEUES, e.queue.name): flat(e.queue)})
_on(pb.QueueDeleted, lambda e, _: {Key(pb.STATE_KIND_QUEUES, e.name): None})
