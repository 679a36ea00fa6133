"""The JSON Schema of polyaxonfiles, for editors."""

from __future__ import annotations

from pydantic import JsonValue

from epochal_scheduler.spec.schema.documents import Polyaxonfile


def json_schema() -> dict[str, JsonValue]:
    """Returns the schema, draft 2020-12."""
    return Polyaxonfile.model_json_schema(by_alias=True)
