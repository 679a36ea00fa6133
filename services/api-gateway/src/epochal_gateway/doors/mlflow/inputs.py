"""What runs read: datasets and logged models, which go into the graph of lineage."""

from __future__ import annotations

import json
import re
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import LineageService

from epochal_gateway.doors.mlflow import model_links
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject

NAME_CHARS: Final = 500
DIGEST_CHARS: Final = 36
SOURCE_CHARS: Final = 65_535
SCHEMA_CHARS: Final = 1_048_575

_NO_NAME = re.compile(r"[^a-zA-Z0-9._-]+")
_PLACES: Final = ("uri", "url", "path")


async def log_inputs(session: Session, fields: Fields) -> JsonObject:
    """Record that a run reads datasets and logged models; each is read once."""
    name = await session.platform.runs.writable(session.org, fields.required("run_id"))
    for one in fields.objects("datasets"):
        details = _details(one)
        request = pb.UseDatasetRequest(
            run=name,
            dataset=_name(details.name),
            uri=_place(details.source),
            details=details,
        )
        await session.call(LineageService.USE_DATASET, request)
    used = [one.required("model_id") for one in fields.objects("models")]
    if used:
        await model_links.link(session, name, used, [])
    return {}


def _details(fields: Fields) -> pb.DatasetDetails:
    dataset = fields.child("dataset")
    return pb.DatasetDetails(
        name=dataset.required("name", limit=NAME_CHARS),
        digest=dataset.required("digest", limit=DIGEST_CHARS),
        source_type=dataset.text("source_type", limit=100),
        source=dataset.text("source", limit=SOURCE_CHARS),
        schema=dataset.text("schema", limit=SCHEMA_CHARS),
        profile=dataset.text("profile", limit=SCHEMA_CHARS),
        tags={tag.required("key"): tag.text("value") for tag in fields.objects("tags")},
    )


def _name(name: str) -> str:
    return _NO_NAME.sub("-", name)[:128].lstrip("._-") or "dataset"


def _place(source: str) -> str:
    """Return where a dataset is, as far as MLflow's description of its source tells."""
    try:
        told = json.loads(source)
    except (ValueError, RecursionError):
        return source[:2_000]
    if not isinstance(told, dict):
        return ""
    places = [str(told[key]) for key in _PLACES if isinstance(told.get(key), str)]
    return places[0][:2_000] if places else ""


def routes() -> list[MlflowRoute]:
    """Return the routes of inputs."""
    return [MlflowRoute("POST", "runs/log-inputs", log_inputs)]
