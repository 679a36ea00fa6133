"""Whether the standard facets of an event are what their schemas say. Pure.

The schemas are data, made from the specification's own Python classes (`facets.json` names the
version). A facet whose `_schemaURL` is not that of the standard is somebody's own: it is kept as it
is, whatever its key. One of another version of the standard is held to the types of its fields, not
to which of them must be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import jsonschema_rs

#: Version and name of the schema at the end of "https://openlineage.io/spec/facets/1-0-1/X.json".
_ADDRESS: Final = re.compile(r"/facets/(\d+-\d+-\d+)/(\w+)\.json")

Json = Any


@lru_cache(maxsize=1)
def standard() -> Mapping[str, Mapping[str, Mapping[str, Json]]]:
    """Return the schemas of the standard facets, by place and key."""
    text = resources.files("epochal_lineage").joinpath("openlineage", "facets.json").read_text()
    facets: Mapping[str, Mapping[str, Mapping[str, Json]]] = json.loads(text)["facets"]
    return facets


def problems(place: str, facets: Mapping[str, Json], path: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with facets: where, and what.

    Args:
        place: "run", "job", "dataset", "inputFacets" or "outputFacets".
        facets: by key.
        path: of the facets in the event.
    """
    known = standard()[place]
    for key, facet in facets.items():
        if not isinstance(facet, dict):
            yield f"{path}.{key}", "must be an object"
        elif key in known and not facet.get("_deleted"):
            validator = _validator(place, key, _is_ours(known[key]["url"], facet))
            if validator is None:
                continue
            for error in validator.iter_errors(facet):
                inside = "".join(
                    f"[{step}]" if isinstance(step, int) else f".{step}"
                    for step in error.instance_path
                )
                yield f"{path}.{key}{inside}", error.message
                break


def _is_ours(ours: str, facet: Mapping[str, Json]) -> bool | None:
    """Whether a facet is of our version of the standard; None for one that is not of it at all."""
    address = facet.get("_schemaURL")
    if not isinstance(address, str):
        return False
    here, there = _ADDRESS.search(ours), _ADDRESS.search(address)
    assert here is not None
    # A dataset's facet may stand in a file with others: the file's name tells the standard's.
    if there is None or "openlineage" not in address.lower():
        return None
    return here[1] == there[1]


@lru_cache(maxsize=256)
def _validator(place: str, key: str, whole: bool | None) -> jsonschema_rs.Validator | None:
    if whole is None:
        return None
    schema = standard()[place][key]
    return jsonschema_rs.validator_for(dict(schema) if whole else _types_only(schema))


def _types_only(schema: Json) -> Json:
    if isinstance(schema, dict):
        return {
            name: _types_only(part)
            for name, part in schema.items()
            if name not in ("required", "enum")
        }
    if isinstance(schema, list):
        return [_types_only(part) for part in schema]
    return schema
