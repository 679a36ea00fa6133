"""The registry through the gateway: names, tags, stages, logged models, other projects' runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal import errors
from epochal.client import Client
from epochal_proto.v1.services import (
    AccessService,
    LineageService,
    LoggedModelService,
    ProjectService,
    RegistryService,
    RunService,
)
from google.protobuf.field_mask_pb2 import FieldMask
from platform_world import Platform


@dataclass(frozen=True)
class Shelf:
    """A project for models, another for runs, and who may read only the first."""

    models: str
    run: str
    guest: Client


@pytest.fixture(scope="module")
def shelf(platform: Platform) -> Iterator[Shelf]:
    suffix = uuid4().hex[:8]
    with platform.client() as admin:
        projects = [
            admin.call(
                ProjectService.CREATE_PROJECT,
                pb.CreateProjectRequest(parent="orgs/default", project_id=f"{word}-{suffix}"),
            ).name
            for word in ("models", "runs")
        ]
        run = admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=projects[1], tracked=pb.TrackedRun()),
        ).name
        user = f"users/guest-{suffix}"
        admin.call(
            AccessService.SET_MEMBER,
            pb.SetMemberRequest(parent=projects[0], user=user, role=pb.ROLE_EDITOR),
        )
        secret = admin.call(
            AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent="orgs/default", user=user)
        ).secret
        with platform.client(secret) as guest:
            yield Shelf(projects[0], run, guest)


def create(client: Client, shelf: Shelf, display_name: str) -> pb.Model:
    return client.call(
        RegistryService.CREATE_MODEL,
        pb.CreateModelRequest(parent=shelf.models, display_name=display_name, tags={"a": "1"}),
    )


def register(client: Client, model: pb.Model, **more: object) -> pb.ModelVersion:
    parent, _, model_id = model.name.partition("/models/")
    request = pb.RegisterModelVersionRequest(
        parent=parent, model_id=model_id, source="s3://there/model"
    )
    request.MergeFrom(pb.RegisterModelVersionRequest(**more))  # type: ignore[arg-type]  # fields
    return client.call(RegistryService.REGISTER_MODEL_VERSION, request)


def test_a_model_may_be_called_anything(admin: Client, shelf: Shelf) -> None:
    model = create(admin, shelf, "Ziffern / von Hand")
    assert model.display_name == "Ziffern / von Hand"
    assert model.tags == {"a": "1"}
    with pytest.raises(errors.EpochalError, match="called"):
        create(admin, shelf, "Ziffern / von Hand")
    renamed = admin.call(
        RegistryService.UPDATE_MODEL,
        pb.UpdateModelRequest(
            model=pb.Model(name=model.name, display_name="Zahlen", description="x"),
            update_mask=FieldMask(paths=["display_name"]),
        ),
    )
    assert (renamed.display_name, renamed.description) == ("Zahlen", "")
    (found,) = admin.call(
        RegistryService.SEARCH_MODELS,
        pb.SearchModelsRequest(parents=[shelf.models], display_name="Zahlen"),
    ).models
    assert found.name == model.name


def test_a_name_is_free_again_when_its_model_is_deleted(admin: Client, shelf: Shelf) -> None:
    first = create(admin, shelf, "passing")
    register(admin, first)
    admin.call(RegistryService.DELETE_MODEL, pb.DeleteModelRequest(name=first.name))
    with pytest.raises(errors.EpochalError, match="there is no"):
        admin.call(RegistryService.GET_MODEL, pb.GetModelRequest(name=first.name))
    with pytest.raises(errors.EpochalError, match="keeps its name"):
        register(admin, first)
    second = create(admin, shelf, "passing")
    assert second.name != first.name
    assert register(admin, second).version == 1


def test_versions_are_tagged_staged_described_and_deleted(admin: Client, shelf: Shelf) -> None:
    model = create(admin, shelf, "staged")
    first, second = register(admin, model, tags={"n": "1"}), register(admin, model)
    assert (first.source, first.digest, first.tags) == ("s3://there/model", "", {"n": "1"})
    for version in (first, second):
        staged = admin.call(
            RegistryService.SET_MODEL_VERSION_STAGE,
            pb.SetModelVersionStageRequest(
                name=version.name, stage="Production", archive_existing=True
            ),
        )
        assert staged.stage == "Production"
    found = admin.call(
        RegistryService.GET_MODEL_VERSION, pb.GetModelVersionRequest(name=first.name)
    )
    assert found.stage == "Archived"
    described = admin.call(
        RegistryService.UPDATE_MODEL_VERSION,
        pb.UpdateModelVersionRequest(
            model_version=pb.ModelVersion(name=first.name, description="old")
        ),
    )
    assert described.description == "old"
    tagged = admin.call(
        RegistryService.TAG_MODEL_VERSION,
        pb.TagModelVersionRequest(name=first.name, tags={"m": ""}, removed=["n"]),
    )
    assert tagged.tags == {"m": ""}
    admin.call(
        RegistryService.SET_MODEL_ALIAS,
        pb.SetModelAliasRequest(name=model.name, alias="Champion-1", version=2),
    )
    admin.call(RegistryService.DELETE_MODEL_VERSION, pb.DeleteModelVersionRequest(name=second.name))
    left = admin.call(RegistryService.GET_MODEL, pb.GetModelRequest(name=model.name))
    assert not left.aliases
    (only,) = admin.call(
        RegistryService.SEARCH_MODEL_VERSIONS,
        pb.SearchModelVersionsRequest(parents=[shelf.models], filter="name = 'staged'"),
    ).model_versions
    assert (only.name, only.model_display_name) == (first.name, "staged")
    assert register(admin, model).version == 3


def test_a_run_of_a_project_one_may_not_read_is_refused(admin: Client, shelf: Shelf) -> None:
    model = create(admin, shelf, "borrowed")
    assert register(admin, model, run=shelf.run).run == shelf.run
    with pytest.raises(errors.EpochalError, match=r"lacks run\.read"):
        register(shelf.guest, model, run=shelf.run)
    assert register(shelf.guest, model).version == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"source": "", "run": "RUN"}, "something to be a version of"),
        ({"artifact_path": "m.pkl"}, "an artifact is one of a run"),
        ({"artifact_path": "m.pkl", "run": "RUN"}, "has no artifact"),
    ],
)
def test_a_version_of_nothing_is_refused(
    admin: Client, shelf: Shelf, more: dict[str, str], message: str
) -> None:
    parent = shelf.models
    request = pb.RegisterModelVersionRequest(parent=parent, model_id="nothing")
    request.source = more.get("source", "s3://x")
    request.run = shelf.run if "run" in more else ""
    request.artifact_path = more.get("artifact_path", "")
    with pytest.raises(errors.EpochalError, match=message):
        admin.call(RegistryService.REGISTER_MODEL_VERSION, request)


def test_a_logged_model_is_measured_linked_and_registered(admin: Client, shelf: Shelf) -> None:
    project = shelf.run.partition("/runs/")[0]
    logged = admin.call(
        LoggedModelService.CREATE_LOGGED_MODEL,
        pb.CreateLoggedModelRequest(
            parent=project, display_name="tree", run=shelf.run, params={"depth": "3"}
        ),
    )
    assert logged.status == pb.LOGGED_MODEL_STATUS_PENDING
    metric = pb.LoggedModelMetric(metric="acc", value=0.75, run=shelf.run, dataset_name="test")
    for method, request in (
        (
            LoggedModelService.MEASURE_LOGGED_MODEL,
            pb.MeasureLoggedModelRequest(name=logged.name, metrics=[metric]),
        ),
        (
            LoggedModelService.TAG_LOGGED_MODEL,
            pb.TagLoggedModelRequest(name=logged.name, tags={"a": "1"}),
        ),
        (
            LoggedModelService.ADD_LOGGED_MODEL_PARAMS,
            pb.AddLoggedModelParamsRequest(name=logged.name, params={"seed": "1"}),
        ),
        (
            LoggedModelService.FINALIZE_LOGGED_MODEL,
            pb.FinalizeLoggedModelRequest(name=logged.name, status=pb.LOGGED_MODEL_STATUS_READY),
        ),
    ):
        logged = admin.call(method, request)
    assert (logged.status, dict(logged.params)) == (
        pb.LOGGED_MODEL_STATUS_READY,
        {"depth": "3", "seed": "1"},
    )
    assert [(one.metric, one.value) for one in logged.metrics] == [("acc", 0.75)]
    admin.call(
        LoggedModelService.LINK_LOGGED_MODELS,
        pb.LinkLoggedModelsRequest(
            run=shelf.run, produced=[pb.ProducedModel(logged_model=logged.name, step=7)]
        ),
    )
    linked = admin.call(
        LoggedModelService.LIST_LINKED_MODELS, pb.ListLinkedModelsRequest(run=shelf.run)
    )
    assert [(one.logged_model, one.step) for one in linked.produced] == [(logged.name, 7)]
    (found,) = admin.call(
        LoggedModelService.SEARCH_LOGGED_MODELS,
        pb.SearchLoggedModelsRequest(parents=[project], filter="metrics.acc > 0.7"),
    ).logged_models
    assert found == logged
    version = register(
        admin, create(admin, shelf, "trees"), run=shelf.run, logged_model=logged.name
    )
    graph = admin.call(
        LineageService.GET_LINEAGE,
        pb.GetLineageRequest(parent=project, node=logged.name),
    )
    assert {(edge.source, edge.target) for edge in graph.edges} >= {(shelf.run, logged.name)}
    assert version.logged_model == logged.name
    admin.call(
        LoggedModelService.DELETE_LOGGED_MODEL, pb.DeleteLoggedModelRequest(name=logged.name)
    )
    with pytest.raises(errors.EpochalError, match="there is no"):
        admin.call(LoggedModelService.GET_LOGGED_MODEL, pb.GetLoggedModelRequest(name=logged.name))
