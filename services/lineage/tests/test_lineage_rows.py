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
