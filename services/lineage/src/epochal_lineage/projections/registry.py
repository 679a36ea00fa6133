"""The model registry as rows: models, versions, who holds which alias; as it is and as it was.

Each change closes the row that held until then and opens another, so that a question about any
moment is one query over ranges of positions, lists too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef
from google.protobuf.message import Message

from epochal_lineage.domain.model import version_number
from epochal_lineage.domain.tags import changed_tags
from epochal_lineage.projections.graph import project_of
from epochal_lineage.projections.promotion_rows import (
    FOREVER,
    MODELS_PAST,
    VERSIONS_PAST,
    ModelPastRow,
    ModelVersionPastRow,
)
from epochal_lineage.projections.rows import MODEL_VERSIONS, MODELS, ModelRow, ModelVersionRow

_ABOUT_A_VERSION = (
    pb.ModelVersionDescribed,
    pb.ModelVersionTagged,
    pb.ModelVersionStageChanged,
    pb.ModelVersionSigned,
    pb.ModelVersionDeleted,
)


class RegistryProjector:
    """Projects models, versions and aliases."""

    name = "registry"
    tables = (MODELS, MODEL_VERSIONS, MODELS_PAST, VERSIONS_PAST)

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
            _put_model(rows, None, _registered(payload, event))
            return
        name = model_of(payload)
        model = rows.get(MODELS, name) if name else None
        if model is None:
            return
        if isinstance(payload, pb.ModelDeleted):
            _drop_model(rows, model, event.position)
            # What its versions were stays open in the past: who asks for one asks for the model.
            for version in range(1, model.latest_version + 1):
                rows.delete(MODEL_VERSIONS, name, version)
            return
        changed = replace(model, update_time=event.recorded_at, since=event.position)
        if isinstance(payload, pb.ModelVersionRegistered):
            changed = replace(changed, latest_version=payload.version)
            _put_version(rows, None, _version(name, payload, event))
        elif isinstance(payload, _ABOUT_A_VERSION):
            _change_version(rows, name, payload, event)
        _put_model(rows, model, _changed(changed, payload))


def _put_model(rows: Rows, old: ModelRow | None, new: ModelRow) -> None:
    if old is not None:
        rows.put(MODELS_PAST, ModelPastRow(**_fields(old), until=new.since))
    rows.put(MODELS, new)
    rows.put(MODELS_PAST, ModelPastRow(**_fields(new), until=FOREVER))


def _drop_model(rows: Rows, old: ModelRow, position: int) -> None:
    rows.delete(MODELS, old.name)
    rows.put(MODELS_PAST, ModelPastRow(**_fields(old), until=position))


def _put_version(rows: Rows, old: ModelVersionRow | None, new: ModelVersionRow) -> None:
    if old is not None:
        rows.put(VERSIONS_PAST, ModelVersionPastRow(**_fields(old), until=new.since))
    rows.put(MODEL_VERSIONS, new)
    rows.put(VERSIONS_PAST, ModelVersionPastRow(**_fields(new), until=FOREVER))


def _drop_version(rows: Rows, old: ModelVersionRow, position: int) -> None:
    rows.delete(MODEL_VERSIONS, old.model, old.version)
    rows.put(VERSIONS_PAST, ModelVersionPastRow(**_fields(old), until=position))


def _fields(row: ModelRow | ModelVersionRow) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}


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
            | pb.ModelVersionSigned(name=name)
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
        since=event.position,
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
        metrics=json_numbers(payload.metrics),
        flavor=payload.flavor,
        signature=payload.signature_json,
        file_count=payload.file_count,
        size_bytes=payload.size_bytes,
        signed_by=Json("[]"),
        since=event.position,
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
    old = rows.get(MODEL_VERSIONS, model, version_number(payload.name))
    if old is None:
        return
    new = replace(old, update_time=event.recorded_at, since=event.position)
    match payload:
        case pb.ModelVersionDescribed():
            new = replace(new, description=payload.description)
        case pb.ModelVersionTagged():
            tags = changed_tags(json.loads(old.tags), payload.tags, payload.removed)
            new = replace(new, tags=_sorted(tags))
        case pb.ModelVersionStageChanged():
            new = replace(new, stage=payload.stage)
        case pb.ModelVersionSigned():
            keys = sorted({*json.loads(old.signed_by), payload.key})
            new = replace(new, signed_by=Json(json.dumps(keys)))
        case _:
            _drop_version(rows, old, event.position)
            return
    _put_version(rows, old, new)


def json_numbers(metrics: Mapping[str, float]) -> Json:
    """Return metrics as JSON that PostgreSQL takes; what is no number becomes its name as text."""
    return Json(
        json.dumps(
            {
                name: value if math.isfinite(value) else repr(value)
                for name, value in sorted(metrics.items())
            }
        )
    )


def _sorted(items: Mapping[str, int] | Mapping[str, str]) -> Json:
    return Json(json.dumps(dict(sorted(items.items()))))
