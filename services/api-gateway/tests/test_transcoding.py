"""REST to messages: path templates, JSON bodies, query parameters, and what is said of mistakes."""

from __future__ import annotations

import json
import string

import epochal_proto.v1 as pb
import pytest
from epochal_gateway.doors.templates import Binding, bindings
from epochal_gateway.doors.transcoding import request_of, response_json
from epochal_kernel.errors import InvalidArgument
from epochal_proto.method import AnyMethod
from epochal_proto.v1.services import (
    METHODS,
    AccessService,
    ArchiveService,
    AuditService,
    LineageService,
    ProjectService,
    RunService,
    TrackingService,
)
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

ids = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
RUN = "orgs/acme/projects/vision/runs/0193a000-0000-7000-8000-000000000001"


def only(method: AnyMethod) -> Binding:
    (binding,) = bindings(method)
    return binding


def matched(method: AnyMethod, path: str) -> dict[str, str] | None:
    found = only(method).pattern.match(path)
    return found.groupdict() if found else None


@given(ids, ids, ids)
def test_a_path_gives_the_resource_name_it_spells(org: str, project: str, run: str) -> None:
    name = f"orgs/{org}/projects/{project}/runs/{run}"
    assert matched(RunService.GET_RUN, f"/v1/{name}") == {"name": name}
    assert matched(RunService.WATCH_RUN, f"/v1/{name}:watch") == {"name": name}
    assert matched(RunService.GET_RUN, f"/v1/{name}:watch") is None
    assert matched(RunService.GET_RUN, f"/v1/{name}/artifacts") is None


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20))
def test_a_metric_may_have_any_name(metric: str) -> None:
    found = matched(TrackingService.GET_METRIC_SERIES, f"/v1/{RUN}/metrics/{metric}")
    assert found == {"run": RUN, "metric": metric}


def test_a_variable_inside_a_field_is_found() -> None:
    found = matched(ProjectService.UPDATE_PROJECT, "/v1/orgs/a/projects/b")
    assert found == {"project__name": "orgs/a/projects/b"}
    assert only(ProjectService.UPDATE_PROJECT).variables == ("project.name",)


def test_a_variable_may_have_digits_in_its_name() -> None:
    path = f"/v1/orgs/o/projects/p/runs/r/archive/{'a' * 64}:read"
    found = matched(ArchiveService.READ_ARCHIVE, path)
    assert found == {"run": "orgs/o/projects/p/runs/r", "sha256": "a" * 64}


def test_dots_and_other_signs_of_templates_stand_for_themselves() -> None:
    assert matched(AuditService.VERIFY_LOG, "/v1/log:verify") == {}
    assert matched(AuditService.VERIFY_LOG, "/v1/logxverify") is None


def test_every_method_on_a_door_has_a_route_and_routes_do_not_collide() -> None:
    routes = [
        (binding.verb, binding.template)
        for method in METHODS
        if method.policy.permission != "internal" or list(bindings(method))
        for binding in bindings(method)
    ]
    assert len(routes) == len(set(routes))
    for method in METHODS:
        assert bool(list(bindings(method))) == (method.policy.permission != "internal")


def test_a_body_is_read_by_either_name_of_a_field() -> None:
    body = json.dumps({"displayName": "fit", "params": {"lr": {"doubleValue": "NaN"}}}).encode()
    found = request_of(only(RunService.CREATE_RUN), {"parent": "orgs/a/projects/b"}, [], body)
    assert isinstance(found, pb.CreateRunRequest)
    assert (found.parent, found.display_name) == ("orgs/a/projects/b", "fit")
    assert found.params["lr"].double_value != found.params["lr"].double_value
    same = request_of(only(RunService.CREATE_RUN), {}, [], b'{"display_name": "fit"}')
    assert same.display_name == "fit"


def test_the_path_wins_over_the_body() -> None:
    found = request_of(only(RunService.STOP_RUN), {"name": RUN}, [], b'{"name": "other"}')
    assert found.name == RUN


def test_an_empty_body_is_an_empty_object() -> None:
    assert request_of(only(RunService.STOP_RUN), {"name": RUN}, [], b" \n") == (
        pb.StopRunRequest(name=RUN)
    )


def test_a_body_that_is_one_field_leaves_the_rest_to_the_query() -> None:
    found = request_of(
        only(ProjectService.UPDATE_PROJECT),
        {"project__name": "orgs/a/projects/b"},
        [("updateMask", "description")],
        b'{"description": "new"}',
    )
    assert found == pb.UpdateProjectRequest(
        project=pb.Project(name="orgs/a/projects/b", description="new"),
        update_mask={"paths": ["description"]},
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"params": {"a": {"doubleValue": NaN}}}', "NaN is no JSON value"),
        (b'{"params": {"a": {"doubleValue": 1e999}}}', "too large for a double"),
        (b'{"displayNme": "x"}', "did you mean 'displayName'"),
        (b'{"zzz": 1}', "known: "),
        (b'{"displayName": 7}', "does not fit CreateRunRequest"),
        (b'{"displayName": "\\ud800"}', "does not fit"),
        (b'{"params": 1}', "does not fit"),
        (b"[" * 100_000, "not JSON"),
        (b'{"params": {"a": ' * 60 + b"1" + b"}}" * 60, "does not fit"),
    ],
)
def test_a_bad_body_is_explained(body: bytes, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        request_of(only(RunService.CREATE_RUN), {}, [], body)
    assert caught.value.violations


def test_a_bad_field_inside_a_body_field_is_named_with_its_path() -> None:
    with pytest.raises(InvalidArgument) as caught:
        request_of(only(ProjectService.UPDATE_PROJECT), {}, [], b'{"descriptio": "x"}')
    (violation,) = caught.value.violations
    assert violation.field == "project.descriptio"


def test_a_call_with_a_body_takes_no_query_and_a_read_takes_no_body() -> None:
    with pytest.raises(InvalidArgument, match="in the body, not in the query"):
        request_of(only(RunService.STOP_RUN), {"name": RUN}, [("reason", "x")], b"")
    with pytest.raises(InvalidArgument, match="takes no body"):
        request_of(only(RunService.GET_RUN), {"name": RUN}, [], b"{}")


def audit(*query: tuple[str, str]) -> pb.ListEventsRequest:
    found = request_of(only(AuditService.LIST_EVENTS), {"parent": "orgs/acme"}, query, b"")
    assert isinstance(found, pb.ListEventsRequest)
    return found


def test_parameters_are_read_by_their_types() -> None:
    found = audit(
        ("pageSize", "7"),
        ("types", "RunCreated"),
        ("types", "RunFailed"),
        ("descending", "true"),
        ("start_time", "2026-01-02T03:04:05Z"),
    )
    assert (found.page_size, list(found.types), found.descending) == (
        7,
        ["RunCreated", "RunFailed"],
        True,
    )
    assert found.start_time.seconds == 1_767_323_045


@pytest.mark.parametrize("value", ["LINEAGE_DIRECTION_UPSTREAM", "1"])
def test_an_enum_is_given_by_name_or_number(value: str) -> None:
    found = request_of(only(LineageService.GET_LINEAGE), {}, [("direction", value)], b"")
    assert found.direction == pb.LINEAGE_DIRECTION_UPSTREAM


@pytest.mark.parametrize("value", ["--1", "²", "", "UP", "1.5", "9" * 30])
def test_what_is_no_enum_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument):
        request_of(only(LineageService.GET_LINEAGE), {}, [("direction", value)], b"")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ([("pageSiz", "1")], "did you mean 'pageSize'"),
        ([("zzz", "1")], "known: "),
        ([("pageSize", "1"), ("pageSize", "2")], "comes twice"),
        ([("pageSize", "many")], "does not fit"),
        ([("pageSize", "²")], "does not fit"),
        ([("descending", "yes")], "must be true or false"),
        ([("actor.name", "x")], "actor has no fields"),
        ([("types.x", "x")], "types has no fields"),
        ([("startTime", "yesterday")], "does not fit"),
        ([("startTime.seconds", "1"), ("startTime", "x")], "comes twice"),
        ([("startTime", "2026-01-02T03:04:05Z"), ("startTime.seconds", "1")], "comes twice"),
    ],
)
def test_a_bad_parameter_is_explained(query: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        audit(*query)


queries = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "pageSize",
                "types",
                "actor",
                "startTime",
                "startTime.seconds",
                "descending",
                "x.y",
                "",
            ]
        ),
        st.text(max_size=6),
    ),
    max_size=4,
)


@given(queries, st.binary(max_size=12))
def test_nothing_but_a_refusal_comes_of_nonsense(query: list[tuple[str, str]], body: bytes) -> None:
    for method, text in ((AuditService.LIST_EVENTS, b""), (RunService.CREATE_RUN, body)):
        try:
            request_of(only(method), {}, query, text)
        except InvalidArgument:
            continue


def test_numbers_of_64_bits_are_texts_and_names_are_camel_case() -> None:
    message = pb.MetricSummary(metric="é", last_step=2**62, last=float("inf"))
    content = json.loads(response_json(message))
    assert content == {"metric": "é", "lastStep": str(2**62), "last": "Infinity"}
    assert "é".encode() in response_json(message)
    assert json_format.ParseDict(content, pb.MetricSummary()) == message


def test_a_token_request_reads_times() -> None:
    found = request_of(
        only(AccessService.CREATE_TOKEN),
        {"parent": "orgs/acme"},
        [],
        b'{"expireTime": "2030-01-01T00:00:00Z", "scopes": ["run.read"]}',
    )
    assert found.expire_time.seconds == 1_893_456_000
