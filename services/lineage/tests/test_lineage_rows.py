"""The graph and the registry as rows, in batches of any size."""

from __future__ import annotations

import json
from itertools import pairwise
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_lineage.projections import READ_MODEL
from epochal_lineage.projections.graph import node_id
from epochal_lineage.projections.graph_rows import OPEN, EdgeRow
from epochal_proto.v1.events import EVENTS
from epochal_testing.projecting import Stored, project, recorded
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

ID = UUID("0193a000-0000-7000-8000-000000000001")
PROJECT = "orgs/acme/projects/vision"
RUN = f"{PROJECT}/runs/{ID}"
MODEL = f"{PROJECT}/models/digits"
DATASET = f"{PROJECT}/datasets/d/versions/1"

runs = st.sampled_from([RUN, f"{PROJECT}/runs/2"])
models = st.sampled_from([MODEL, f"{PROJECT}/models/other"])
numbered = st.builds(lambda model, n: f"{model}/versions/{n}", models, st.integers(1, 3))
logged = st.sampled_from([f"{PROJECT}/loggedModels/m-{n}" for n in (1, 2)])
tags = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1"]))
payloads = st.one_of(
    st.builds(pb.RunCreated, name=runs),
    st.builds(pb.DatasetUsed, run=runs, dataset=st.just(DATASET), uri=st.sampled_from("ab")),
    st.builds(
        pb.ArtifactLogged, run=runs, path=st.sampled_from("xy"), sha256=st.binary(max_size=1)
    ),
    st.builds(pb.ModelRegistered, name=models),
    st.builds(
        lambda name, n, run, path: pb.ModelVersionRegistered(
            name=f"{name}/versions/{n}", version=n, run=run, artifact_path=path
        ),
        models,
        st.integers(1, 3),
        runs,
        st.sampled_from(["x", "folder/"]),
    ),
    st.builds(
        pb.ModelAliasSet, model=models, alias=st.sampled_from("ab"), version=st.integers(1, 3)
    ),
    st.builds(pb.ModelAliasDeleted, model=models, alias=st.sampled_from("ab")),
    st.builds(pb.ModelRenamed, model=models, display_name=st.sampled_from(["", "new"])),
    st.builds(pb.ModelTagged, model=models, tags=tags, removed=st.just(["b"])),
    st.builds(pb.ModelDeleted, model=models),
    st.builds(pb.ModelVersionTagged, name=numbered, tags=tags, removed=st.just(["b"])),
    st.builds(pb.ModelVersionStageChanged, name=numbered, stage=st.sampled_from(["", "Staging"])),
    st.builds(pb.ModelVersionDescribed, name=numbered, description=st.sampled_from("xy")),
    st.builds(pb.ModelVersionDeleted, name=numbered),
    st.builds(pb.ModelLogged, name=logged, run=st.sampled_from(["", RUN])),
    st.builds(pb.LoggedModelFinalized, name=logged, status=st.integers(1, 3)),
    st.builds(pb.LoggedModelParamsAdded, name=logged, params=tags),
    st.builds(pb.LoggedModelTagged, name=logged, tags=tags, removed=st.just(["b"])),
    st.builds(pb.LoggedModelDeleted, name=logged),
    st.builds(
        lambda name, steps: pb.LoggedModelMeasured(
            name=name, metrics=[pb.LoggedModelMetric(metric="a", step=step) for step in steps]
        ),
        logged,
        st.lists(st.integers(0, 3), max_size=3),
    ),
    st.builds(pb.LoggedModelUsed, run=runs, logged_model=logged),
    st.builds(pb.LoggedModelProduced, run=runs, logged_model=logged, step=st.integers(0, 3)),
    st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()),
)


def rows(*given_: Message) -> Stored:
    return project(READ_MODEL, [recorded(one, n, ID) for n, one in enumerate(given_, start=1)])


@given(st.lists(payloads, max_size=30), st.lists(st.integers(1, 5), max_size=8))
def test_batches_of_any_size_give_the_same_rows(history: list[Message], sizes: list[int]) -> None:
    events = [recorded(one, n, ID) for n, one in enumerate(history, start=1)]
    assert project(READ_MODEL, events, sizes) == project(READ_MODEL, events)


@given(st.lists(payloads, max_size=30))
def test_an_edge_keeps_the_position_of_its_first_event(history: list[Message]) -> None:
    first: dict[tuple[str, str], int] = {}
    for position, one in enumerate(history, start=1):
        if isinstance(one, pb.DatasetUsed) and one.run:
            first.setdefault((one.dataset, one.run), position)
        if isinstance(one, pb.LoggedModelUsed) and one.run:
            first.setdefault((one.logged_model, one.run), position)
    found = {
        (source, target): row.position
        for source, target, row in edges(rows(*history))
        if row.kind == pb.EDGE_KIND_USED
    }
    assert found == first


@given(st.lists(payloads, max_size=40))
def test_ranges_of_a_node_and_of_an_edge_never_overlap(history: list[Message]) -> None:
    found = rows(*history)
    ranges: dict[object, list[tuple[int, int]]] = {}
    for row in found["graph_node"].values():
        ranges.setdefault(row.id, []).append((row.position, row.until))
    for row in found["graph_edge"].values():
        key = (row.source, row.target, row.kind)
        ranges.setdefault(key, []).append((row.position, row.until))
    for spans in ranges.values():
        spans.sort()
        assert all(start < end for start, end in spans)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def edges(found: Stored) -> list[tuple[str, str, EdgeRow]]:
    names = {row.id: row.name for row in found["graph_node"].values()}
    return [(names[row.source], names[row.target], row) for row in found["graph_edge"].values()]


def test_a_model_is_bound_to_run_dataset_and_artifact() -> None:
    found = rows(
        pb.RunCreated(name=RUN),
        pb.DatasetUsed(run=RUN, dataset=DATASET, uri="s3://d", digest="sha256:aa"),
        pb.ArtifactLogged(run=RUN, path="m.pkl", sha256=b"\x01" * 32),
        pb.ModelRegistered(name=MODEL),
        pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/1",
            version=1,
            run=RUN,
            artifact_path="m.pkl",
            digest=f"sha256:{'01' * 32}",
        ),
    )
    artifact, version = f"{RUN}/artifacts/m.pkl@{'01' * 6}", f"{MODEL}/versions/1"
    assert {(source, target, row.kind) for source, target, row in edges(found)} == {
        (DATASET, RUN, pb.EDGE_KIND_USED),
        (RUN, artifact, pb.EDGE_KIND_PRODUCED),
        (RUN, version, pb.EDGE_KIND_TRAINED),
        (artifact, version, pb.EDGE_KIND_REGISTERED_AS),
    }
    nodes = {row.name: (row.kind, row.digest, row.uri) for row in found["graph_node"].values()}
    assert nodes == {
        RUN: (pb.NODE_KIND_RUN, "", ""),
        f"{PROJECT}/datasets/d": (pb.NODE_KIND_DATASET_FAMILY, "", ""),
        DATASET: (pb.NODE_KIND_DATASET, "sha256:aa", "s3://d"),
        artifact: (pb.NODE_KIND_ARTIFACT, f"sha256:{'01' * 32}", ""),
        MODEL: (pb.NODE_KIND_MODEL, "", ""),
        version: (pb.NODE_KIND_MODEL_VERSION, f"sha256:{'01' * 32}", ""),
    }
    assert {row.project for row in found["graph_node"].values()} == {PROJECT}
    assert not any(row.implied for row in found["graph_node"].values())
    assert found["run_artifact"][RUN, "m.pkl"].sha256 == b"\x01" * 32


def test_a_model_of_a_folder_hangs_on_its_run_alone() -> None:
    found = rows(
        pb.ModelRegistered(name=MODEL),
        pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/1", version=1, run=RUN, artifact_path="saved/"
        ),
    )
    assert [row.kind for _, _, row in edges(found)] == [pb.EDGE_KIND_TRAINED]


def test_code_is_a_commit_its_changes_or_an_upload() -> None:
    def code(**more: object) -> set[str]:
        capture = pb.Capture(run=RUN, **more)
        found = rows(pb.RunCreated(name=RUN), pb.CaptureRecorded(run=RUN, capture=capture))
        return {source for source, _, row in edges(found) if row.kind == pb.EDGE_KIND_RAN}

    commit = "ab" * 20
    folder = f"{PROJECT}/code"
    assert code() == set()
    assert code(git=pb.GitState(commit=commit)) == {f"{folder}/git-{commit}"}
    dirty = pb.GitState(commit=commit, dirty=True, diff_digest=f"sha256:{'cd' * 32}")
    assert code(git=dirty) == {f"{folder}/git-{commit}+{'cd' * 6}"}
    assert code(upload_digest=f"sha256:{'ef' * 32}") == {f"{folder}/upload-{'ef' * 6}"}


def test_a_run_knows_its_job_and_why_it_was_made() -> None:
    other, pipeline = f"{PROJECT}/runs/2", f"{PROJECT}/runs/3"
    found = rows(
        pb.RunCreated(
            name=RUN,
            compiled_json='{"name": "train"}',
            pipeline=pipeline,
            step="fit",
            origin=other,
            origin_kind="cache",
            edges=[
                pb.RunEdge(kind="dag", source=other),
                pb.RunEdge(kind="event", source="0193a000-0000-7000-8000-000000000009"),
            ],
        ),
        pb.RunCreated(name=other, step="prepare", origin=pipeline, origin_kind="restart"),
        pb.RunCreated(name=pipeline, compiled_json="no json"),
    )
    assert {(source, target, row.kind) for source, target, row in edges(found)} == {
        (pipeline, RUN, pb.EDGE_KIND_CONTAINS),
        (other, RUN, pb.EDGE_KIND_REUSED),
        (other, RUN, pb.EDGE_KIND_TRIGGERED),
        (pipeline, other, pb.EDGE_KIND_RESTARTED),
    }
    jobs = {row.name: row.parent_name for row in found["graph_node"].values() if row.parent_name}
    assert jobs == {RUN: f"{PROJECT}/jobs/train", other: f"{PROJECT}/jobs/prepare"}


def test_a_service_is_a_deployment_from_its_creation_to_its_end() -> None:
    def told(*more: Message) -> Stored:
        history = [
            pb.RunCreated(name=RUN, kind=pb.RUN_KIND_SERVICE),
            pb.LoggedModelUsed(run=RUN, logged_model=f"{PROJECT}/loggedModels/m-1"),
            *more,
        ]
        return project(
            READ_MODEL,
            [recorded(one, n, ID, resource=RUN) for n, one in enumerate(history, start=1)],
        )

    (edge,) = [row for _, _, row in edges(told())]
    assert edge.kind == pb.EDGE_KIND_DEPLOYED_AS

    def spans(found: Stored) -> list[tuple[int, int]]:
        nodes = [row for row in found["graph_node"].values() if row.name == RUN]
        return sorted((row.position, row.until) for row in nodes)

    assert spans(told()) == [(1, OPEN)]
    assert spans(told(pb.RunStopped())) == [(1, 3)]
    assert spans(told(pb.RunStopped(), pb.RunResumed())) == [(1, 3), (4, OPEN)]
    assert spans(told(pb.RunDeleted(), pb.RunRenamed(display_name="x"))) == [(1, 3)]
    assert spans(told(pb.RunDeleted(), pb.RunRestored())) == [(1, 3), (4, OPEN)]


def test_what_is_told_of_a_dataset_later_adds_to_what_was_told_first() -> None:
    def contents(**more: object) -> pb.DatasetContents:
        return pb.DatasetContents(**more)

    kept, other = f"{PROJECT}/runs/3", f"{PROJECT}/runs/4"
    columns = [pb.ColumnProfile(name="a")]
    chunks, copy = pb.DATASET_STORAGE_CHUNKS, pb.DATASET_STORAGE_COPY
    found = rows(
        pb.DatasetUsed(run=RUN, dataset=DATASET, contents=contents(etag="1")),
        pb.DatasetUsed(run=RUN, dataset=DATASET, contents=contents(rows=3, columns=columns)),
        pb.DatasetProduced(
            run=kept, dataset=DATASET, contents=contents(storage=chunks, path="x.json", rows=9)
        ),
        pb.DatasetProduced(run=other, dataset=DATASET, contents=contents(storage=copy, path="y")),
        pb.DatasetValidated(dataset=DATASET, results=[pb.RuleResult(detail="old")]),
        pb.DatasetValidated(dataset=DATASET, results=[pb.RuleResult(detail="new")]),
        pb.DatasetValidated(dataset="unknown"),
    )["dataset_version"]
    assert list(found) == [(DATASET,)]
    row = found[DATASET,]
    assert (row.run, row.produced, row.position) == (RUN, True, 1)
    assert pb.DatasetContents.FromString(row.contents) == contents(
        etag="1", rows=3, storage=chunks, path=f"{kept}/artifacts/x.json"
    )
    assert pb.DatasetContents.FromString(row.columns) == contents(columns=columns)
    (result,) = pb.DatasetValidated.FromString(row.validated).results
    assert result.detail == "new"


def test_pieces_of_a_dataset_are_no_nodes() -> None:
    piece = pb.ArtifactLogged(run=RUN, path="datasets/d/chunks/1", sha256=b"1" * 32, kind="chunk")
    assert not rows(piece)["graph_node"]


def test_an_alias_is_held_by_one_version() -> None:
    def version(number: int) -> Message:
        return pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/{number}", version=number, run=RUN, creator="users/ann"
        )

    found = rows(
        pb.ModelRegistered(name=MODEL, description="of digits"),
        version(1),
        pb.ModelAliasSet(model=MODEL, alias="b", version=1),
        pb.ModelAliasSet(model=MODEL, alias="a", version=1),
        version(2),
        pb.ModelAliasSet(model=MODEL, alias="a", version=2, old_version=1),
        pb.ModelAliasDeleted(model=MODEL, alias="b", old_version=1),
        pb.ModelAliasDeleted(model=MODEL, alias="never", old_version=1),
    )
    row = found["model"][MODEL,]
    assert (row.project, row.description, row.latest_version) == (PROJECT, "of digits", 2)
    assert json.loads(row.aliases) == {"a": 2}
    assert [key for key in found["model_version"]] == [(MODEL, 1), (MODEL, 2)]


def test_a_model_takes_its_versions_along_when_it_goes() -> None:
    history = (
        pb.ModelRegistered(name=MODEL, display_name="Digits", tags={"a": "1"}),
        pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/1", version=1, run=RUN, source="s3://x", tags={"b": "2"}
        ),
        pb.ModelTagged(model=MODEL, tags={"c": ""}, removed=["a"]),
        pb.ModelVersionTagged(name=f"{MODEL}/versions/1", tags={"d": "4"}),
        pb.ModelVersionStageChanged(name=f"{MODEL}/versions/1", stage="Staging"),
        pb.ModelVersionDescribed(name=f"{MODEL}/versions/1", description="first"),
    )
    found = rows(*history)
    model, version = found["model"][MODEL,], found["model_version"][MODEL, 1]
    assert (model.display_name, json.loads(model.tags)) == ("Digits", {"c": ""})
    assert (version.stage, version.description, version.run_id) == ("Staging", "first", ID.hex)
    assert json.loads(version.tags) == {"b": "2", "d": "4"}
    assert found["graph_node"][node_id(f"{MODEL}/versions/1"), 0].uri == "s3://x"
    gone = rows(*history, pb.ModelDeleted(model=MODEL))
    assert gone["graph_node"][node_id(MODEL), 0].until == len(history) + 1
    assert not gone["model"]
    assert not gone["model_version"]


def test_the_newest_step_of_a_metric_counts_for_a_logged_model() -> None:
    name = f"{PROJECT}/loggedModels/m-1"

    def measured(step: int, value: float) -> Message:
        metric = pb.LoggedModelMetric(metric="acc", step=step, value=value, run=RUN)
        return pb.LoggedModelMeasured(name=name, metrics=[metric])

    found = rows(
        pb.RunCreated(name=RUN),
        pb.ModelLogged(name=name, run=RUN, display_name="tree"),
        measured(2, 0.5),
        measured(1, 0.4),
        measured(3, 0.6),
        pb.LoggedModelProduced(run=RUN, logged_model=name, step=3),
        pb.LoggedModelUsed(run=f"{PROJECT}/runs/2", logged_model=name),
        pb.LoggedModelFinalized(name=name, status=pb.LOGGED_MODEL_STATUS_READY),
        pb.ModelVersionRegistered(name=f"{MODEL}/versions/1", version=1, logged_model=name),
    )
    assert [row.value for row in found["logged_metric"].values()] == [0.6]
    assert found["logged_model"][name,].status == pb.LOGGED_MODEL_STATUS_READY
    assert {(source, target, row.kind) for source, target, row in edges(found)} == {
        (RUN, name, pb.EDGE_KIND_PRODUCED),
        (name, f"{PROJECT}/runs/2", pb.EDGE_KIND_USED),
        (name, f"{MODEL}/versions/1", pb.EDGE_KIND_REGISTERED_AS),
    }
    assert [(row.produced, row.step) for row in found["linked_model"].values()] == [
        (True, 3),
        (False, 0),
    ]
