"""The graph through the gateway: what runs say of data and models, asked over gRPC and REST."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal import errors
from epochal.client import Client
from epochal_proto.v1.services import (
    DatasetService,
    GraphService,
    LineageService,
    ProjectService,
    RegistryService,
    RunService,
)
from epochal_testing.waiting import until
from platform_world import Platform


@dataclass(frozen=True)
class Story:
    """A dataset that two runs make of another, a model of it, and rules held against both."""

    project: str
    prepare: str
    train: str
    raw: str
    clean: pb.LineageNode
    version: str


@pytest.fixture(scope="module")
def story(platform: Platform) -> Story:
    with platform.client() as client:
        return _story(client)


def _story(admin: Client) -> Story:
    project_id = f"lineage-{uuid4().hex[:8]}"
    project = "orgs/default/projects/" + project_id
    admin.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(parent="orgs/default", project_id=project_id),
    )
    prepare, train = (
        admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=project, display_name=name, tracked=pb.TrackedRun()),
        ).name
        for name in ("prepare", "train")
    )
    raw = admin.call(
        LineageService.USE_DATASET,
        pb.UseDatasetRequest(
            run=prepare,
            dataset="raw",
            uri="s3://bucket/raw.csv",
            contents=pb.DatasetContents(
                storage=pb.DATASET_STORAGE_REFERENCE,
                etag="1",
                rows=4,
                columns=[pb.ColumnProfile(name="birth", type="int64", min=1900, max=2000)],
            ),
        ),
    ).name
    clean = admin.call(
        LineageService.LOG_DATASET,
        pb.LogDatasetRequest(
            run=prepare,
            dataset="clean",
            digest="sha256:" + "cd" * 32,
            contents=pb.DatasetContents(
                rows=4, columns=[pb.ColumnProfile(name="age", type="int64", min=-3, max=99)]
            ),
            columns=[
                pb.ColumnSource(
                    column="age",
                    source=raw,
                    source_column="birth",
                    transformation=pb.COLUMN_TRANSFORMATION_TRANSFORMATION,
                )
            ],
            rules=[
                pb.DatasetRule(kind=pb.DATASET_RULE_KIND_RANGE, column="age", min=0),
                pb.DatasetRule(kind=pb.DATASET_RULE_KIND_ROWS, min=1),
            ],
        ),
    )
    admin.call(LineageService.USE_DATASET, _uses(train, clean))
    version = admin.call(
        RegistryService.REGISTER_MODEL_VERSION,
        pb.RegisterModelVersionRequest(
            parent=project, model_id="m", run=train, source="s3://m", alias="champion"
        ),
    ).name
    return Story(project, prepare, train, raw, clean, version)


def _uses(run: str, clean: pb.LineageNode) -> pb.UseDatasetRequest:
    return pb.UseDatasetRequest(run=run, dataset="clean", digest=clean.digest)


def test_upstream_downstream_path_and_impact(admin: Client, story: Story) -> None:
    up = admin.call(
        GraphService.TRAVERSE_GRAPH,
        pb.TraverseGraphRequest(
            parent=story.project,
            node=story.version,
            direction=pb.LINEAGE_DIRECTION_UPSTREAM,
        ),
    )
    assert [node.name for node in up.nodes] == [
        story.version,
        story.train,
        story.clean.name,
        story.prepare,
        story.raw,
    ]
    assert [node.distance for node in up.nodes] == [0, 1, 2, 3, 4]
    path = admin.call(
        GraphService.FIND_GRAPH_PATH,
        pb.FindGraphPathRequest(parent=story.project, source=story.raw, target=story.version),
    )
    assert [node.name for node in path.nodes] == [node.name for node in up.nodes][::-1]
    impact = admin.call(
        GraphService.ASSESS_IMPACT,
        pb.AssessImpactRequest(parent="orgs/default", node=story.raw.partition("/versions/")[0]),
    )
    assert [(one.name, list(one.holds)) for one in impact.models] == [(story.version, ["champion"])]
    columns = admin.call(
        GraphService.TRAVERSE_COLUMNS,
        pb.TraverseColumnsRequest(
            parent=story.project,
            dataset=story.clean.name,
            column="age",
            direction=pb.LINEAGE_DIRECTION_UPSTREAM,
        ),
    )
    assert [(one.source, one.source_column, one.via) for one in columns.edges] == [
        (story.raw, "birth", story.prepare)
    ]


def test_the_same_over_rest_and_as_of_a_position(platform: Platform, story: Story) -> None:
    headers = {"authorization": f"Bearer {platform.token}"}

    def walk(**more: str) -> list[str]:
        answer = httpx.get(
            f"{platform.url}/v1/{story.project}/graph/walk",
            params={"node": story.clean.name, "direction": "LINEAGE_DIRECTION_DOWNSTREAM", **more},
            headers=headers,
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return [node["name"] for node in answer.json()["nodes"]]

    whole = walk()
    assert {story.train, story.version} < set(whole)
    node = httpx.get(
        f"{platform.url}/v1/{story.project}/graph/node",
        params={"node": story.clean.name},
        headers=headers,
        timeout=30,
    ).json()
    assert walk(**{"as_of.position": node["position"]}) == [story.clean.name]
    assert walk(**{"as_of.time": node["time"]}) == [story.clean.name]


def test_a_model_that_is_read_says_why_it_is_there(admin: Client, story: Story) -> None:
    admin.call(
        LineageService.USE_MODEL,
        pb.UseModelRequest(run=story.prepare, model_version=story.version),
    )
    why = admin.call(
        GraphService.EXPLAIN_NODE,
        pb.ExplainNodeRequest(parent=story.project, node=story.version),
    )
    told = {(one.relation, one.type) for one in why.causes}
    assert {
        ("registered by", "ModelVersionRegistered"),
        ("alias set by", "ModelAliasSet"),
        ("trained by", "RunCreated"),
    } <= told
    with pytest.raises(errors.NotFound):
        admin.call(
            LineageService.USE_MODEL,
            pb.UseModelRequest(run=story.prepare, model_version=story.version + "7"),
        )


def test_datasets_versions_rules_and_differences(admin: Client, story: Story) -> None:
    assert [one.passed for one in story.clean.results] == [False, True]
    listed = admin.call(
        DatasetService.LIST_DATASETS, pb.ListDatasetsRequest(parent=story.project, page_size=1)
    )
    assert [one.name for one in listed.datasets] == [f"{story.project}/datasets/clean"]
    rest = admin.call(
        DatasetService.LIST_DATASETS,
        pb.ListDatasetsRequest(parent=story.project, page_token=listed.next_page_token),
    )
    assert [(one.versions, one.latest_version) for one in rest.datasets] == [(1, story.raw)]
    version = admin.call(
        DatasetService.GET_DATASET_VERSION, pb.GetDatasetVersionRequest(name=story.clean.name)
    )
    assert (version.run, version.produced, version.contents.rows) == (story.prepare, True, 4)
    assert [one.passed for one in version.results] == [False, True]
    again = admin.call(
        LineageService.USE_DATASET,
        pb.UseDatasetRequest(
            run=story.train,
            dataset="raw",
            uri="s3://bucket/raw.csv",
            contents=pb.DatasetContents(
                storage=pb.DATASET_STORAGE_REFERENCE,
                etag="2",
                rows=5,
                columns=[pb.ColumnProfile(name="birth", type="string")],
            ),
        ),
    ).name
    assert again != story.raw
    difference = admin.call(
        DatasetService.COMPARE_DATASET_VERSIONS,
        pb.CompareDatasetVersionsRequest(name=again, base=story.raw),
    )
    assert (difference.old_rows, difference.new_rows, difference.same_content) == (4, 5, False)
    assert [(one.old_type, one.new_type) for one in difference.columns] == [("int64", "string")]
    versions = admin.call(
        DatasetService.LIST_DATASET_VERSIONS,
        pb.ListDatasetVersionsRequest(parent=f"{story.project}/datasets/raw"),
    ).versions
    assert [one.name for one in versions] == [again, story.raw]
    assert not versions[0].contents.columns
    checked = admin.call(
        DatasetService.VALIDATE_DATASET_VERSION,
        pb.ValidateDatasetVersionRequest(
            name=again,
            rules=[pb.DatasetRule(kind=pb.DATASET_RULE_KIND_SCHEMA, column="birth", type="int64")],
        ),
    )
    assert not checked.passed
    now = admin.call(DatasetService.GET_DATASET_VERSION, pb.GetDatasetVersionRequest(name=again))
    assert [one.detail for one in now.results] == ["birth is string, not int64"]


SERVICE = """
version: 1.1
kind: component
name: serve
run:
  kind: service
  init:
  - modelRef: served:champion
  container:
    command: [python, -c, "import time; time.sleep(600)"]
"""


def upload(platform: Platform, artifact: str) -> None:
    answer = httpx.put(
        f"{platform.url}/v1/{artifact}",
        content=b"weights",
        headers={"authorization": f"Bearer {platform.token}"},
        timeout=30,
    )
    assert answer.is_success, answer.text


async def test_a_service_is_the_deployment_of_the_model_it_was_given(
    platform: Platform, admin: Client, story: Story
) -> None:
    upload(platform, f"{story.train}/artifacts/model/m.bin")
    version = admin.call(
        RegistryService.REGISTER_MODEL_VERSION,
        pb.RegisterModelVersionRequest(
            parent=story.project,
            model_id="served",
            run=story.train,
            artifact_path="model/m.bin",
            alias="champion",
        ),
    ).name
    service = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=story.project, spec=SERVICE.encode())
    ).name

    def served() -> pb.ReachedModel:
        impact = admin.call(
            GraphService.ASSESS_IMPACT,
            pb.AssessImpactRequest(parent=story.project, node=story.raw),
        )
        (found,) = [one for one in impact.models if one.name == version]
        return found

    def deployed() -> bool:
        return list(served().deployments) == [service]

    def stopped() -> bool:
        return not served().deployments

    await until(deployed, 60)
    artifact = admin.call(
        GraphService.FIND_GRAPH_PATH,
        pb.FindGraphPathRequest(parent=story.project, source=story.raw, target=service),
    )
    assert [node.kind for node in artifact.nodes][-1] == pb.NODE_KIND_DEPLOYMENT
    job = f"{story.project}/jobs/serve"
    assert artifact.nodes[-1].parent == job
    why = admin.call(
        GraphService.EXPLAIN_NODE, pb.ExplainNodeRequest(parent=story.project, node=service)
    )
    assert {"serves", "trained by"} <= {one.relation for one in why.causes}
    admin.call(RunService.STOP_RUN, pb.StopRunRequest(name=service))
    await until(stopped, 60)


def test_columns_come_from_the_same_project_only(admin: Client, story: Story) -> None:
    with pytest.raises(errors.InvalidArgument, match="columns come from"):
        admin.call(
            LineageService.LOG_DATASET,
            pb.LogDatasetRequest(
                run=story.prepare,
                dataset="x",
                uri="s3://x",
                columns=[
                    pb.ColumnSource(
                        column="a",
                        source="orgs/default/projects/other/datasets/d/versions/1",
                        source_column="a",
                    )
                ],
            ),
        )
