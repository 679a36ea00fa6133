"""Events of OpenLineage: what is taken, what is refused and why, and that order does not matter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_lineage.openlineage.events import MAX_EVENT_BYTES, Refused, read
from epochal_lineage.openlineage.facets import standard
from epochal_lineage.openlineage.names import dataset_name, job_name, run_name, version_name
from epochal_lineage.projections import READ_MODEL
from epochal_lineage.projections.graph import node_id
from epochal_testing.projecting import Stored, project, recorded
from hypothesis import given
from hypothesis import strategies as st

PROJECT = "orgs/acme/projects/vision"
ID = UUID("0193a000-0000-7000-8000-000000000001")
PRODUCER = "https://example.org/producer"
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"

Json = Any


def run_event(**more: Json) -> dict[str, Json]:
    return {
        "eventTime": "2026-11-28T12:00:00Z",
        "eventType": "COMPLETE",
        "producer": PRODUCER,
        "schemaURL": SPEC,
        "run": {"runId": str(ID)},
        "job": {"namespace": "dbt", "name": "orders"},
        **more,
    }


def refusal(event: Json) -> Refused:
    data = event if isinstance(event, bytes) else json.dumps(event).encode()
    with pytest.raises(Refused) as caught:
        read(data)
    return caught.value


def facet(url: str = "", /, **fields: Json) -> dict[str, Json]:
    return {"_producer": PRODUCER, "_schemaURL": url, **fields}


def of_standard(place: str, key: str) -> str:
    return str(standard()[place][key]["url"])


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b'{"eventTime": NaN}', ""),
        (b"\xff", ""),
        (b'"' + b"x" * MAX_EVENT_BYTES + b'"', ""),
        ({}, ""),
        (run_event(job=None), ""),
        (run_event(dataset={"namespace": "n", "name": "d"}), ""),
        (run_event(eventType="DONE"), "eventType"),
        (run_event(eventTime="yesterday"), "eventTime"),
        (run_event(eventTime=None), "eventTime"),
        (run_event(run={}), "run.runId"),
        (run_event(job={"namespace": "n"}), "job.name"),
        (run_event(job={"namespace": "", "name": "x"}), "job.namespace"),
        (run_event(inputs={}), "inputs"),
        (run_event(inputs=[{"name": "x"}]), "inputs[0].namespace"),
        (run_event(outputs=[{"namespace": "n", "name": "x", "facets": []}]), "outputs[0].facets"),
        (run_event(job={"namespace": "n", "name": "a\0b"}), ""),
    ],
)
def test_what_is_no_event_is_refused_by_its_field(event: Json, field: str) -> None:
    assert refusal(event).field == field


def test_jobs_and_datasets_have_events_too() -> None:
    job = read(json.dumps({**run_event(), "run": None, "eventType": None}).encode())
    assert (job.run_id, job.job is not None) == ("", True)
    told = {"eventTime": "2026-11-28T13:00:00+01:00", "dataset": {"namespace": "n", "name": "d"}}
    dataset = read(json.dumps(told).encode())
    assert dataset.dataset is not None
    assert dataset.time == datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "time", ["2026-11-28T12:00:00.123456789Z", "2026-11-28T12:00:00", "2026-11-28T12:00:00.1+00:00"]
)
def test_times_of_any_fineness_are_read(time: str) -> None:
    assert read(json.dumps(run_event(eventTime=time)).encode()).time.hour == 12


def test_there_are_as_many_standard_facets_as_the_specification_has() -> None:
    found = {place: len(facets) for place, facets in standard().items()}
    assert found == {"inputFacets": 4, "outputFacets": 2, "dataset": 15, "job": 8, "run": 11}
    for facets in standard().values():
        assert all("openlineage.io/spec/facets/" in one["url"] for one in facets.values())


def event_with(place: str, key: str, value: Json) -> dict[str, Json]:
    match place:
        case "run":
            return run_event(run={"runId": str(ID), "facets": {key: value}})
        case "job":
            return run_event(job={"namespace": "n", "name": "j", "facets": {key: value}})
        case "dataset":
            return run_event(inputs=[{"namespace": "n", "name": "d", "facets": {key: value}}])
        case "inputFacets":
            return run_event(inputs=[{"namespace": "n", "name": "d", place: {key: value}}])
        case _:
            return run_event(outputs=[{"namespace": "n", "name": "d", place: {key: value}}])


def sample(schema: Mapping[str, Json]) -> Json:
    """The least value that a schema takes."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0])
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: sample(properties[name]) for name in schema.get("required", ())}
        case "array":
            return [sample(schema["items"])]
        case kind:
            return {"string": "x", "integer": 1, "number": 1.5, "boolean": True}.get(str(kind), {})


STANDARD = [(place, key) for place, facets in standard().items() for key in facets]


@pytest.mark.parametrize(("place", "key"), STANDARD)
def test_a_standard_facet_is_held_to_its_schema(place: str, key: str) -> None:
    schema, url = standard()[place][key], of_standard(place, key)
    good = facet(url, **sample(schema))
    read(json.dumps(event_with(place, key, {**good, "more": {"of": ["ours"]}})).encode())
    read(json.dumps(event_with(place, key, {"_producer": PRODUCER, "_deleted": True})).encode())
    assert key in refusal(event_with(place, key, "x")).field
    wrong = {"string": 1, "integer": "x", "number": "x", "boolean": 1, "object": 1, "array": 1}
    for name, one in schema["properties"].items():
        if one.get("type") in wrong:
            bad = {**good, name: wrong[one["type"]]}
            assert refusal(event_with(place, key, bad)).field.endswith(f"{key}.{name}")
            break
    for name in schema["required"]:
        left = {field: value for field, value in good.items() if field != name}
        assert name in refusal(event_with(place, key, left)).rule
        older = url.replace("/facets/1-", "/facets/0-").replace("/facets/2-", "/facets/1-")
        read(json.dumps(event_with(place, key, {**left, "_schemaURL": older})).encode())


def test_somebodys_own_facet_is_kept_whatever_its_key() -> None:
    own = facet("https://example.org/schemas/SqlFacet.json", anything=[1, None, {"x": "ü"}])
    for key in ("sql", "example_own"):
        event = read(json.dumps(event_with("job", key, own)).encode())
        assert event.job is not None
        assert event.job.facets[key] == own
        assert json.loads(event.text)["job"]["facets"][key] == own


def test_names_of_other_systems_are_no_names_of_ours() -> None:
    assert dataset_name(PROJECT, "s3://b", "a/b").endswith("/datasets/s3%3A%2F%2Fb%2Fa%2Fb")
    assert job_name(PROJECT, "x", "y") != job_name(PROJECT, "xy", "")
    assert run_name(PROJECT, str(ID).upper()) == f"{PROJECT}/runs/{ID}"
    assert run_name(PROJECT, "scheduled__1") == run_name(PROJECT, "scheduled__1")
    long = dataset_name(PROJECT, "n", "x" * 5_000)
    assert len(long) < 1_000
    assert long != dataset_name(PROJECT, "n", "x" * 5_001)


NAMES = ["a", "b", "c"]
times = st.integers(0, 5).map(lambda minute: f"2026-11-28T12:0{minute}:00Z")
versions = st.sampled_from(["", "1", "2"])


@st.composite
def datasets(draw: st.DrawFn) -> Json:
    facets: dict[str, Json] = {}
    if version := draw(versions):
        facets["version"] = facet(of_standard("dataset", "version"), datasetVersion=version)
    if draw(st.booleans()):
        field = {"namespace": "w", "name": draw(st.sampled_from(NAMES)), "field": "x"}
        facets["columnLineage"] = facet(fields={"y": {"inputFields": [field]}})
    if draw(st.booleans()):
        facets["own"] = facet(value=draw(st.integers(0, 3)))
    return {"namespace": "w", "name": draw(st.sampled_from(NAMES)), "facets": facets}


@st.composite
def events(draw: st.DrawFn) -> Json:
    number = draw(st.integers(0, 2))
    job = {"namespace": "dbt", "name": f"job-{number}"}
    time = draw(times)
    if draw(st.integers(0, 5)) == 0:
        return {"eventTime": time, "dataset": draw(datasets())}
    told: dict[str, Json] = {
        "eventTime": time,
        "job": job,
        "inputs": draw(st.lists(datasets(), max_size=2)),
        "outputs": draw(st.lists(datasets(), max_size=2)),
    }
    if draw(st.integers(0, 5)):
        facets: dict[str, Json] = {}
        if number:
            above = {"namespace": "dbt", "name": f"job-{number - 1}"}
            facets["parent"] = facet(run={"runId": f"run-{number - 1}"}, job=above)
        told["run"] = {"runId": f"run-{number}", "facets": facets}
        told["eventType"] = draw(st.sampled_from(["START", "RUNNING", "COMPLETE", "FAIL", "OTHER"]))
    return told


def rows(told: list[Json]) -> Stored:
    payloads = [
        pb.OpenLineageReceived(
            parent=PROJECT, event_json=read(json.dumps(one).encode()).text.encode()
        )
        for one in told
    ]
    return project(
        READ_MODEL, [recorded(one, place, ID) for place, one in enumerate(payloads, start=1)]
    )


def timeless(stored: Stored) -> Json:
    """Rows without the positions of the events that made them."""
    nodes = {
        (row.name, row.kind, row.label, row.uri, row.parent_name)
        for key, row in stored["graph_node"].items()
        if key[1] == 0
    }
    edges = {key for key in stored["graph_edge"] if key[3] == 0}
    return nodes, edges, set(stored["column_edge"]), stored["openlineage_node"]


@given(
    st.lists(events(), max_size=8).flatmap(
        lambda told: st.tuples(st.just(told), st.permutations(told * 3))
    )
)
def test_shuffled_and_tripled_events_give_the_same_rows(
    both: tuple[list[Json], list[Json]],
) -> None:
    told, shuffled = both
    assert timeless(rows(told)) == timeless(rows(shuffled))


def test_what_an_event_says_is_in_the_graph() -> None:
    source = {
        "namespace": "s3://b",
        "name": "raw",
        "facets": {"version": facet(datasetVersion="v7")},
    }
    column = {"namespace": "s3://b", "name": "raw", "field": "id"}
    how = [{"type": "DIRECT", "subtype": "AGGREGATION", "description": "sum(id)", "masking": True}]
    target = {
        "namespace": "w",
        "name": "orders",
        "facets": {
            "columnLineage": facet(
                fields={"total": {"inputFields": [{**column, "transformations": how}]}}
            )
        },
    }
    stored = rows([run_event(inputs=[source], outputs=[target])])
    run, job = f"{PROJECT}/runs/{ID}", job_name(PROJECT, "dbt", "orders")
    raw, orders = dataset_name(PROJECT, "s3://b", "raw"), dataset_name(PROJECT, "w", "orders")
    nodes = {row.name: row for row in stored["graph_node"].values()}
    assert nodes[run].parent_name == job
    edges = {(source, target, kind) for source, target, kind, _ in stored["graph_edge"]}
    assert edges == {
        (node_id(raw), node_id(run), pb.EDGE_KIND_USED),
        (node_id(version_name(raw, "v7")), node_id(run), pb.EDGE_KIND_USED),
        (node_id(run), node_id(orders), pb.EDGE_KIND_PRODUCED),
    }
    (made,) = stored["column_edge"].values()
    assert (made.source_column, made.target_column, made.masking) == ("id", "total", True)
    assert made.transformation == pb.COLUMN_TRANSFORMATION_AGGREGATION
    assert stored["openlineage_node"][run,].state == "COMPLETE"
