"""The published JSON Schema says what the compiler says, as far as a schema can."""

import json

import pytest
from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.spec.nodes import to_data
from epochal_scheduler.spec.publishing import DIALECT, json_schema
from jsonschema import Draft202012Validator
from spec_corpus import BAD, GOOD, SPECS

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
# Refused by the grammar alone: the schema refuses them too.
REFUSED = [
    "unknown_field", "unknown_field_nested", "unknown_kind", "unknown_runtime", "retry_backoff",
    "runtime_without_kind", "cache_unknown_input", "dag_wrong_trigger", "matrix_unknown_kind",
    "service_ports", "trigger_unknown_kind", "tuner_at_root", "run_patch_is_a_list",
    "unknown_patch_strategy", "hook_wrong", "matrix_utility_function",
]  # fmt: skip


def _data(path):
    return to_data(parse_document(path.read_bytes()))


def test_it_is_a_json_schema_of_2020_12():
    assert SCHEMA["$schema"] == DIALECT
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize(
    "path", [path for path in GOOD if path.stem != "snake_case"], ids=lambda path: path.stem
)
def test_it_takes_every_good_file(path):
    assert [error.message for error in VALIDATOR.iter_errors(_data(path))] == []


@pytest.mark.parametrize(
    "path",
    [path for path in (SPECS / "library").glob("*.yaml") if path.stem not in {
        "broken", "preset_wrong", "component_wrong",
    }],
    ids=lambda path: path.stem,
)  # fmt: skip
def test_it_takes_components_and_presets(path):
    assert [error.message for error in VALIDATOR.iter_errors(_data(path))] == []


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_what_the_grammar_refuses(name):
    (path,) = [path for path in BAD if path.stem == name]
    assert list(VALIDATOR.iter_errors(_data(path)))


def test_it_explains_every_part():
    unexplained = [
        name
        for name, part in SCHEMA["$defs"].items()
        if "properties" in part and not part.get("description")
    ]
    assert unexplained == []


def test_unknown_fields_are_errors_in_every_part():
    open_parts = [
        name
        for name, part in SCHEMA["$defs"].items()
        if "properties" in part and part.get("additionalProperties") is not False
    ]
    assert open_parts == []
