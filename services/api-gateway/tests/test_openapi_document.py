"""The OpenAPI document is whole: every call, every reference, every path parameter, every rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from epochal_gateway.doors import openapi
from epochal_gateway.doors.comments import comments
from epochal_proto.v1.services import METHODS

DOCUMENT = json.loads(json.dumps(openapi.document("1.2.3")))
VERBS = {"get", "post", "patch", "delete", "put"}


def operations() -> Iterator[tuple[str, str, dict[str, object]]]:
    for path, item in DOCUMENT["paths"].items():
        for verb, operation in item.items():
            yield path, verb, operation


def references(content: object) -> Iterator[str]:
    if isinstance(content, dict):
        if isinstance(content.get("$ref"), str):
            yield content["$ref"]
        for value in content.values():
            yield from references(value)
    elif isinstance(content, list):
        for value in content:
            yield from references(value)


def test_it_says_what_it_is() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == "1.2.3"
    assert DOCUMENT["security"] == [{"token": []}]
    assert "token" in DOCUMENT["components"]["securitySchemes"]


def test_every_outside_method_is_there_once() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    outside = {m.name for m in METHODS if m.policy.permission != "internal"}
    assert {name.split("_")[1] for name in ids} == outside
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(set(operation["tags"]) <= tags for _, _, operation in operations())
    assert all(verb in VERBS for _, verb, _ in operations())


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        target: object = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            assert isinstance(target, dict)
            assert part in target, reference
            target = target[part]
        assert target, reference


def test_every_variable_of_a_path_is_a_parameter_and_the_other_way_round() -> None:
    for path, _, operation in operations():
        named = re.findall(r"\{([^}]+)\}", path)
        declared = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
        assert named == declared, path
        assert len(named) == len(set(named)), path
        assert all(p["required"] for p in operation.get("parameters", []) if p["in"] == "path")


def test_parameters_of_a_call_have_names_of_their_own() -> None:
    for path, _, operation in operations():
        names = [(p["in"], p["name"]) for p in operation.get("parameters", [])]
        assert len(names) == len(set(names)), path


def test_reads_have_no_body_and_every_call_may_answer_with_a_problem() -> None:
    for path, verb, operation in operations():
        if verb in ("get", "delete"):
            assert "requestBody" not in operation, path
        problem = operation["responses"]["default"]["content"]["application/problem+json"]
        assert problem["schema"]["$ref"] == "#/components/schemas/Problem"


def test_streams_are_events() -> None:
    content = DOCUMENT["paths"]["/v1/orgs/{org}/projects/{project}/runs/{run}:watch"]["get"]
    assert list(content["responses"]["200"]["content"]) == ["text/event-stream"]


def test_rules_of_the_contract_are_rules_of_the_document() -> None:
    listing = DOCUMENT["paths"]["/v1/orgs/{org}/projects/{project}/runs"]["get"]["parameters"]
    (size,) = [p["schema"] for p in listing if p["name"] == "pageSize"]
    assert (size["minimum"], size["maximum"]) == (0, 1000)


def test_everything_is_explained() -> None:
    for path, _, operation in operations():
        assert operation["summary"].endswith("."), path
    undescribed = [name for name in (m.full_name for m in METHODS) if not comments().get(name)]
    assert undescribed == []
