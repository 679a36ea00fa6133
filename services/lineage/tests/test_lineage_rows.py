"""The graph and the registry as rows, in batches of any size."""

from __future__ import annotations

import json
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_lineage.projections import READ_MODEL
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
        if isinstance(one, pb.DatasetUsed):
            first.setdefault((one.dataset, one.run), position)
        if isinstance(one, pb.LoggedModelUsed):
            first.setdefault((one.logged_model, one.run), position)
    found = {
        (row.source, row.target): row.position
        for row in rows(*history)["edge"].values()
        if row.kind == pb.EDGE_KIND_USED
    }
    assert found == first


def test_a_model_is_bound_to_run_dataset_and_artifact() -> None:
    found = rows(
        pb.RunCreated(name=RUN),
        pb.DatasetUsed(run=RUN, dataset=DATASET, uri="s3://d", digest="sha256:aa"),
        pb.ArtifactLogged(run=RUN, path="m.pkl", sha256=b"\x01"),
        pb.ModelRegistered(name=MODEL),
        pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/1",
            version=1,
            run=RUN,
            artifact_path="m.pkl",
            digest="sha256:01",
        ),
    )
    edges = {(row.source, row.target, row.kind) for row in found["edge"].values()}
    artifact, version = f"{RUN}/artifacts/m.pkl", f"{MODEL}/versions/1"
    assert edges == {
        (DATASET, RUN, pb.EDGE_KIND_USED),
        (RUN, artifact, pb.EDGE_KIND_PRODUCED),
        (RUN, version, pb.EDGE_KIND_TRAINED),
        (artifact, version, pb.EDGE_KIND_REGISTERED_AS),
    }
    nodes = {row.name: (row.kind, row.digest, row.uri) for row in found["node"].values()}
    assert nodes == {
        RUN: (pb.NODE_KIND_RUN, "", ""),
        DATASET: (pb.NODE_KIND_DATASET, "sha256:aa", "s3://d"),
        artifact: (pb.NODE_KIND_ARTIFACT, "sha256:01", ""),
        version: (pb.NODE_KIND_MODEL_VERSION, "sha256:01", ""),
    }
    assert {row.project for table in ("node", "edge") for row in found[table].values()} == {PROJECT}
    assert found["run_artifact"][RUN, "m.pkl"].sha256 == b"\x01"


def test_a_model_of_a_folder_hangs_on_its_run_alone() -> None:
    found = rows(
        pb.ModelRegistered(name=MODEL),
        pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/1", version=1, run=RUN, artifact_path="saved/"
        ),
    )
    assert [row.kind for row in found["edge"].values()] == [pb.EDGE_KIND_TRAINED]


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
    assert found["node"][f"{MODEL}/versions/1",].uri == "s3://x"
    gone = rows(*history, pb.ModelDeleted(model=MODEL))
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
    assert {(row.source, row.target, row.kind) for row in found["edge"].values()} == {
        (RUN, name, pb.EDGE_KIND_PRODUCED),
        (name, f"{PROJECT}/runs/2", pb.EDGE_KIND_USED),
        (name, f"{MODEL}/versions/1", pb.EDGE_KIND_REGISTERED_AS),
    }
    assert [(row.produced, row.step) for row in found["linked_model"].values()] == [
        (True, 3),
        (False, 0),
    ]
