"""MLflow's requests, ids and errors: read as its server reads them, told as its client expects."""

from __future__ import annotations

import json
import math
import re
from typing import ClassVar

import pytest
from epochal_gateway.doors.mlflow import entries, paging
from epochal_gateway.doors.mlflow.errors import MlflowError, error_code, error_response
from epochal_gateway.doors.mlflow.names import experiment_number, project_id, run_id, run_uuid
from epochal_gateway.doors.mlflow.reading import Fields, fields_of, fields_of_query
from epochal_gateway.doors.mlflow.writing import number
from epochal_gateway.doors.problems import STATUS
from epochal_kernel.errors import EpochalError, ResourceExhausted, Violation
from hypothesis import given
from hypothesis import strategies as st

PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.text(min_size=1, max_size=600), st.integers(0, 3))
def test_every_name_has_a_project_id_and_always_the_same(name: str, taken: int) -> None:
    chosen = project_id(name, taken)
    assert PROJECT.match(chosen)
    assert chosen == project_id(name, taken)
    assert chosen != project_id(name, taken + 1)


@given(st.from_regex(PROJECT, fullmatch=True))
def test_a_project_id_is_its_own(name: str) -> None:
    assert project_id(name) == name


@given(st.uuids())
def test_run_ids_go_there_and_back(uid: object) -> None:
    assert run_uuid(run_id(f"orgs/o/projects/p/runs/{uid}")) == uid
    assert run_uuid(str(uid)) == uid


@pytest.mark.parametrize("wrong", ["", "-1", "1.0", "x", "9" * 19, "٣"])
def test_experiment_ids_are_numbers(wrong: str) -> None:
    with pytest.raises(MlflowError, match="must be a valid integer"):
        experiment_number(wrong)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_come_as_numbers_and_as_text(value: int) -> None:
    assert Fields({"n": value}).whole("n") == value
    assert Fields({"n": str(value)}).whole("n") == value


@given(json_values)
def test_any_value_of_any_field_is_read_or_refused_in_words(value: object) -> None:
    fields = Fields({"f": value}, "outer[3]")
    for read in (
        fields.text,
        fields.required,
        fields.whole,
        fields.required_whole,
        fields.number,
        fields.flag,
        fields.texts,
        fields.objects,
        fields.child,
    ):
        told = "'outer[3].f'"
        try:
            read("f")
        except MlflowError as error:
            told = error.message
        assert "'outer[3].f'" in told or "boolean" in told


@given(st.floats())
def test_numbers_of_every_kind_come_and_go(value: float) -> None:
    back = Fields({"v": json.loads(json.dumps(number(value), allow_nan=False))}).number("v")
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_bodies_that_are_no_objects_are_refused() -> None:
    assert not fields_of(b"").has("x")
    assert fields_of(b'"{\\"x\\": 1}"').whole("x") == 1
    assert fields_of(b'{"x": "\\uD83D\\uDE00"}').text("x") == "\N{GRINNING FACE}"
    for body in (b"[1]", b"3", b"{", b"\xff", b"[" * 100_000, b'{"x": "\\uD83D"}'):
        with pytest.raises(MlflowError) as caught:
            fields_of(body)
        assert caught.value.error_code == "BAD_REQUEST"


def test_a_name_that_comes_again_in_a_query_is_a_list() -> None:
    fields = fields_of_query([("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")])
    assert fields.texts("a") == ["1", "3", "4"]
    assert fields.texts("b") == ["2"]
    assert fields.whole("b") == 2


@pytest.mark.parametrize("name", ["a b/c.d-e:f_1", "ü", "x" * 250])
def test_good_names_of_metrics(name: str) -> None:
    point = entries.metric(Fields({"key": name, "value": 1, "timestamp": "5", "step": -1}))
    assert (point.metric, point.time_us, point.step) == (name, 5_000, -1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "a?b"},
        {"key": "../a"},
        {"key": "/a"},
        {"key": "a//b"},
        {"key": "."},
        {"key": "x" * 251},
        {"key": ""},
        {"timestamp": -1},
        {"timestamp": 2**62},
        {"timestamp": None},
        {"value": None},
        {"value": True},
        {"step": 1.5},
    ],
)
def test_metrics_that_break_a_rule(wrong: dict[str, object]) -> None:
    with pytest.raises(MlflowError):
        entries.metric(Fields({"key": "m", "value": 1.0, "timestamp": 1, "step": 0, **wrong}))


@given(st.integers(), st.integers())
def test_page_tokens_belong_to_their_question(offset: int, other: int) -> None:
    token = paging.token_of(["filter", other], offset)
    if offset >= 0:
        assert paging.offset_of(token, ["filter", other]) == offset
    for wrong in (["filter", other + 1], "x"):
        with pytest.raises(MlflowError):
            paging.offset_of(token, wrong)


def test_every_error_of_ours_has_a_code_of_mlflows() -> None:
    for code in STATUS:

        class Some(EpochalError):
            grpc_code: ClassVar[str] = code

        response = error_response(Some("what happened"))
        told = json.loads(response.body)
        assert told["error_code"].isupper()
        assert told["message"] == "what happened"
        assert response.status_code >= 400


def test_an_error_keeps_field_and_rule_and_says_when_to_try_again() -> None:
    error = ResourceExhausted(
        "too many", retry_after_s=0.2, violations=[Violation("calls", "rate", "send fewer")]
    )
    response = error_response(error)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert json.loads(response.body)["message"] == "too many (calls: send fewer)"
    assert error_code(ResourceExhausted("x", reason="ARTIFACT_TOO_LARGE")) == "BAD_REQUEST"
