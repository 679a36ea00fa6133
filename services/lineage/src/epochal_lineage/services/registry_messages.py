"""Models and versions as messages, and the streams they live in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import epochal_proto.v1 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_lineage.projections.rows import ModelRow, ModelVersionRow

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:epochal:registry")


def stream_of(name: str) -> UUID:
    """Return the id of the stream of a model or a logged model."""
    return uuid5(_NAMESPACE, name)


def model_message(row: ModelRow, latest: Iterable[ModelVersionRow]) -> pb.Model:
    """Return a model as clients see it, with the newest versions of its stages."""
    return pb.Model(
        name=row.name,
        display_name=row.display_name,
        description=row.description,
        latest_version=row.latest_version,
        aliases=json.loads(row.aliases),
        tags=json.loads(row.tags),
        creator=row.creator,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
        latest_versions=[version_message(version, row) for version in latest],
    )


def version_message(row: ModelVersionRow, model: ModelRow) -> pb.ModelVersion:
    """Return a version as clients see it, with the aliases it holds."""
    held = json.loads(model.aliases)
    return pb.ModelVersion(
        name=f"{row.model}/versions/{row.version}",
        version=row.version,
        run=row.run,
        artifact_path=row.artifact_path,
        digest=row.digest,
        source=row.source,
        logged_model=row.logged_model,
        description=row.description,
        aliases=sorted(alias for alias, version in held.items() if version == row.version),
        tags=json.loads(row.tags),
        stage=row.stage,
        creator=row.creator,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
        model_display_name=model.display_name,
        metrics={name: float(value) for name, value in json.loads(row.metrics).items()},
        flavor=row.flavor,
        signature_json=row.signature,
        file_count=row.file_count,
        size_bytes=row.size_bytes,
        signed_by=json.loads(row.signed_by),
    )


def timestamp(at: datetime) -> Timestamp:
    """Return a time as a message."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
