"""What happens to models, datasets and components, as MLflow's registry webhooks tell it.

Source: mlflow/webhooks/types.py and mlflow/server/handlers.py of MLflow 3.17.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal_notifier.projections import PROMPT_TAG, ModelTitleRow
from epochal_notifier.promotion_news import (
    OCCASIONS,
    example_promotion,
    promotion_news,
    resource_of_promotion,
)

Payload: TypeAlias = Mapping[str, "str | Mapping[str, str] | None"]

#: Entity and action of MLflow's by occasion.
EVENTS: Final[Mapping[int, tuple[str, str]]] = {
    pb.OCCASION_MODEL_CREATED: ("registered_model", "created"),
    pb.OCCASION_MODEL_VERSION_CREATED: ("model_version", "created"),
    pb.OCCASION_MODEL_VERSION_TAG_SET: ("model_version_tag", "set"),
    pb.OCCASION_MODEL_VERSION_TAG_DELETED: ("model_version_tag", "deleted"),
    pb.OCCASION_MODEL_ALIAS_SET: ("model_version_alias", "created"),
    pb.OCCASION_MODEL_ALIAS_DELETED: ("model_version_alias", "deleted"),
    pb.OCCASION_PROMPT_CREATED: ("prompt", "created"),
    pb.OCCASION_PROMPT_VERSION_CREATED: ("prompt_version", "created"),
    pb.OCCASION_PROMPT_TAG_SET: ("prompt_tag", "set"),
    pb.OCCASION_PROMPT_TAG_DELETED: ("prompt_tag", "deleted"),
    pb.OCCASION_PROMPT_VERSION_TAG_SET: ("prompt_version_tag", "set"),
    pb.OCCASION_PROMPT_VERSION_TAG_DELETED: ("prompt_version_tag", "deleted"),
    pb.OCCASION_PROMPT_ALIAS_SET: ("prompt_alias", "created"),
    pb.OCCASION_PROMPT_ALIAS_DELETED: ("prompt_alias", "deleted"),
}
#: Occasions that are about a model.
OF_MODELS: Final = frozenset(EVENTS) | OCCASIONS
_TEXT_TAG: Final = "mlflow.prompt.text"


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell of a model: on which occasion, and what MLflow says of it."""

    occasion: pb.Occasion
    data: Payload


def resource_of(payload: Message) -> str:
    """Return the model, dataset or component that news are of; empty for events without any."""
    match payload:
        case pb.ModelRegistered(name=name):
            return name
        case pb.ModelTagged(model=model) | pb.ModelAliasSet(model=model):
            return model
        case pb.ModelAliasDeleted(model=model):
            return model
        case pb.ModelVersionRegistered(name=name) | pb.ModelVersionTagged(name=name):
            return name.partition("/versions/")[0]
        case _:
            return resource_of_promotion(payload)


def news(payload: Message, model: ModelTitleRow) -> Iterable[News]:
    """Return what an event tells of a model; several tags are several things."""
    name = model.display_name
    match payload:
        case pb.ModelRegistered():
            occasion = _either(model, pb.OCCASION_PROMPT_CREATED, pb.OCCASION_MODEL_CREATED)
            yield News(occasion, _made(name, payload))
        case pb.ModelVersionRegistered():
            data: dict[str, str | Mapping[str, str] | None] = {
                "name": name,
                "version": str(payload.version),
            }
            if model.prompt:
                data["template"] = payload.tags.get(_TEXT_TAG)
                yield News(pb.OCCASION_PROMPT_VERSION_CREATED, data | _told(payload))
            else:
                data["source"] = (
                    payload.source or f"{payload.run}/artifacts/{payload.artifact_path}"
                )
                data["run_id"] = payload.run.rpartition("/")[2].replace("-", "") or None
                yield News(pb.OCCASION_MODEL_VERSION_CREATED, data | _told(payload))
        case pb.ModelVersionTagged():
            version = {"name": name, "version": payload.name.rpartition("/")[2]}
            given = _either(
                model, pb.OCCASION_PROMPT_VERSION_TAG_SET, pb.OCCASION_MODEL_VERSION_TAG_SET
            )
            gone = _either(
                model, pb.OCCASION_PROMPT_VERSION_TAG_DELETED, pb.OCCASION_MODEL_VERSION_TAG_DELETED
            )
            yield from _tags(version, payload, given, gone)
        case pb.ModelTagged() if model.prompt:
            yield from _tags(
                {"name": name}, payload, pb.OCCASION_PROMPT_TAG_SET, pb.OCCASION_PROMPT_TAG_DELETED
            )
        case pb.ModelAliasSet():
            occasion = _either(model, pb.OCCASION_PROMPT_ALIAS_SET, pb.OCCASION_MODEL_ALIAS_SET)
            yield News(
                occasion, {"name": name, "alias": payload.alias, "version": str(payload.version)}
            )
        case pb.ModelAliasDeleted():
            occasion = _either(
                model, pb.OCCASION_PROMPT_ALIAS_DELETED, pb.OCCASION_MODEL_ALIAS_DELETED
            )
            yield News(occasion, {"name": name, "alias": payload.alias})
        case _:
            for occasion, told in promotion_news(payload):
                yield News(
                    occasion, {"name": name} | {key: one for key, one in told.items() if one}
                )


def example(occasion: int) -> Payload:
    """Return what a test tells: what an event of that kind would, of a model there is not."""
    if occasion in OCCASIONS:
        return example_promotion(occasion)
    entity, action = EVENTS[occasion]
    data: dict[str, str | Mapping[str, str] | None] = {"name": "example"}
    if entity not in ("registered_model", "prompt", "prompt_tag"):
        data["version"] = "1"
    if entity.endswith("_tag"):
        data["key"] = "key"
        if action == "set":
            data["value"] = "value"
    elif entity.endswith("_alias"):
        data["alias"] = "champion"
        if action == "deleted":
            del data["version"]
    else:
        data |= {"tags": {"key": "value"}, "description": "An example"}
        if entity == "model_version":
            data |= {"source": "models:/123", "run_id": "abcd1234abcd5678"}
        if entity == "prompt_version":
            data["template"] = "Hello {{name}}!"
    return data


def _either(model: ModelTitleRow, prompt: pb.Occasion, other: pb.Occasion) -> pb.Occasion:
    return prompt if model.prompt else other


def _made(name: str, payload: pb.ModelRegistered) -> Payload:
    return {"name": name} | _told(payload)


def _told(
    payload: pb.ModelRegistered | pb.ModelVersionRegistered,
) -> dict[str, str | Mapping[str, str] | None]:
    inner = (PROMPT_TAG, _TEXT_TAG)
    tags = {key: value for key, value in sorted(payload.tags.items()) if key not in inner}
    return {"tags": tags, "description": payload.description or None}


def _tags(
    about: Mapping[str, str],
    payload: pb.ModelTagged | pb.ModelVersionTagged,
    given: pb.Occasion,
    gone: pb.Occasion,
) -> Iterable[News]:
    for key, value in sorted(payload.tags.items()):
        yield News(given, {**about, "key": key, "value": value})
    for key in payload.removed:
        yield News(gone, {**about, "key": key})
