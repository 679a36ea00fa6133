"""The model registry as rows: models, versions, who holds which alias."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef
from google.protobuf.message import Message

from epochal_lineage.domain.model import version_number
from epochal_lineage.domain.tags import changed_tags
from epochal_lineage.projections.graph import project_of
from epochal_lineage.projections.rows import MODEL_VERSIONS, MODELS, ModelRow, ModelVersionRow

_ABOUT_A_VERSION = (
    pb.ModelVersionDescribed,
    pb.ModelVersionTagged,
    pb.ModelVersionStageChanged,
    pb.ModelVersionDeleted,
)


class RegistryProjector:
    """Projects models, versions and aliases."""

    name = "registry"
    tables = (MODELS, MODEL_VERSIONS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Everything but the first event changes the model's row, some a version's too."""
        model = model_of(event.payload)
        if model:
            yield MODELS.ref(model)
        if isinstance(event.payload, _ABOUT_A_VERSION):
            yield MODEL_VERSIONS.ref(model, version_number(event.payload.name))

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.ModelRegistered):
            rows.put(MODELS, _registered(payload, event))
            return
        name = model_of(payload)
        model = rows.get(MODELS, name) if name else None
        if model is None:
            return
        if isinstance(payload, pb.ModelDeleted):
            rows.delete(MODELS, name)
            for version in range(1, model.latest_version + 1):
                rows.delete(MODEL_VERSIONS, name, version)
            return
        model = replace(model, update_time=event.recorded_at)
        if isinstance(payload, pb.ModelVersionRegistered):
            model = replace(model, latest_version=payload.version)
            rows.put(MODEL_VERSIONS, _version(name, payload, event))
        elif isinstance(payload, _ABOUT_A_VERSION):
            _change_version(rows, name, payload, event)
        rows.put(MODELS, _changed(model, payload))


def model_of(payload: Message) -> str:
    """Return the name of the model that an event is about, empty when it is about none."""
    match payload:
        case pb.ModelRegistered(name=name):
            return name
        case (
            pb.ModelVersionRegistered(name=name)
            | pb.ModelVersionDescribed(name=name)
            | pb.ModelVersionTagged(name=name)
            | pb.ModelVersionStageChanged(name=name)
            | pb.ModelVersionDeleted(name=name)
        ):
            return name.rpartition("/versions/")[0]
        case (
            pb.ModelAliasSet(model=model)
            | pb.ModelAliasDeleted(model=model)
            | pb.ModelRenamed(model=model)
            | pb.ModelDescribed(model=model)
            | pb.ModelTagged(model=model)
            | pb.ModelDeleted(model=model)
        ):
            return model
        case _:
            return ""


def _registered(payload: pb.ModelRegistered, event: Event) -> ModelRow:
    return ModelRow(
        name=payload.name,
        project=project_of(payload.name),
        display_name=payload.display_name or payload.name.rpartition("/")[2],
        description=payload.description,
        latest_version=0,
        aliases=Json("{}"),
        tags=_sorted(payload.tags),
        creator=payload.creator,
        create_time=event.recorded_at,
        update_time=event.recorded_at,
    )


def _version(model: str, payload: pb.ModelVersionRegistered, event: Event) -> ModelVersionRow:
    return ModelVersionRow(
        model=model,
        version=payload.version,
        project=project_of(model),
        run=payload.run,
        run_id=payload.run.rpartition("/")[2].replace("-", ""),
        artifact_path=payload.artifact_path,
        digest=payload.digest,
        source=payload.source,
        logged_model=payload.logged_model,
        description=payload.description,
        tags=_sorted(payload.tags),
        stage="",
        creator=payload.creator,
        create_time=event.recorded_at,
        update_time=event.recorded_at,
    )


def _changed(model: ModelRow, payload: Message) -> ModelRow:
    match payload:
        case pb.ModelAliasSet():
            held = {**json.loads(model.aliases), payload.alias: payload.version}
            return replace(model, aliases=_sorted(held))
        case pb.ModelAliasDeleted():
            held = json.loads(model.aliases)
            held.pop(payload.alias, None)
            return replace(model, aliases=_sorted(held))
        case pb.ModelRenamed():
            name = payload.display_name or model.name.rpartition("/")[2]
            return replace(model, display_name=name)
        case pb.ModelDescribed():
            return replace(model, description=payload.description)
        case pb.ModelTagged():
            tags = changed_tags(json.loads(model.tags), payload.tags, payload.removed)
            return replace(model, tags=_sorted(tags))
        case _:
            return model


def _change_version(rows: Rows, model: str, payload: Message, event: Event) -> None:
    assert isinstance(payload, _ABOUT_A_VERSION)
    number = version_number(payload.name)
    version = rows.get(MODEL_VERSIONS, model, number)
    if version is None:
        return
    version = replace(version, update_time=event.recorded_at)
    match payload:
        case pb.ModelVersionDescribed():
            rows.put(MODEL_VERSIONS, replace(version, description=payload.description))
        case pb.ModelVersionTagged():
            tags = changed_tags(json.loads(version.tags), payload.tags, payload.removed)
            rows.put(MODEL_VERSIONS, replace(version, tags=_sorted(tags)))
        case pb.ModelVersionStageChanged():
            rows.put(MODEL_VERSIONS, replace(version, stage=payload.stage))
        case _:
            rows.delete(MODEL_VERSIONS, model, number)


def _sorted(items: Mapping[str, int] | Mapping[str, str]) -> Json:
    return Json(json.dumps(dict(sorted(items.items()))))
