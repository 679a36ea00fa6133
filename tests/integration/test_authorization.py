"""Every RPC of the contract, as everyone: what the doors allow is what proto/ declares.

For each RPC and each caller the test works out from the declared permission whether the call may
pass, makes the call, and looks only at whether it was refused for want of permission. What else the
call answers (not found, invalid) does not matter here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import epochal_proto.v1 as pb
import grpc
import httpx
import pytest
from epochal.client import Client
from epochal_gateway.domain.permissions import permitted
from epochal_proto.method import AnyMethod, StreamMethod
from epochal_proto.v1.services import (
    METHODS,
    AccessService,
    ProjectService,
    RunService,
    SearchService,
)
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from platform_world import Platform

OUTSIDE = [method for method in METHODS if method.policy.permission != "internal"]
INSIDE = [method for method in METHODS if method.policy.permission == "internal"]
ROLES = {
    "viewer": pb.ROLE_VIEWER,
    "editor": pb.ROLE_EDITOR,
    "admin": pb.ROLE_ADMIN,
    "owner": pb.ROLE_OWNER,
}
REFUSED = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


@dataclass(frozen=True)
class World:
    """An organisation with a member of each role, and a stranger who owns another."""

    org: str
    project: str
    run: str
    tokens: dict[str, str]
    channel: grpc.Channel


def make_org(admin: Client, name: str) -> str:
    admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=name))
    return f"orgs/{name}"


def make_token(admin: Client, org: str, user: str, role: pb.Role) -> str:
    admin.call(
        AccessService.SET_MEMBER, pb.SetMemberRequest(parent=org, user=f"users/{user}", role=role)
    )
    return admin.call(
        AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org, user=f"users/{user}")
    ).secret


@pytest.fixture(scope="module")
def world(platform: Platform) -> Iterator[World]:
    suffix = uuid4().hex[:8]
    with platform.client() as admin:
        org = make_org(admin, f"home-{suffix}")
        project = admin.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent=org, project_id="vision"),
        ).name
        run = admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun(), display_name="walk"),
        ).name
        tokens = {
            name: make_token(admin, org, f"{name}-{suffix}", role) for name, role in ROLES.items()
        }
        other = make_org(admin, f"other-{suffix}")
        tokens["stranger"] = make_token(admin, other, f"stranger-{suffix}", pb.ROLE_OWNER)
        tokens["scoped"] = admin.call(
            AccessService.CREATE_TOKEN,
            pb.CreateTokenRequest(parent=org, user=f"users/owner-{suffix}", scopes=["run.read"]),
        ).secret
        with grpc.insecure_channel(admin_address(platform)) as channel:
            yield World(org, project, run, tokens, channel)


def admin_address(platform: Platform) -> str:
    return str(httpx.get(f"{platform.url}/.well-known/epochal").json()["grpc"])


def request_for(method: AnyMethod, world: World) -> Message:
    """A request that passes validation, names resources of the world and changes nothing."""
    uid = str(uuid4())
    project = world.project
    name = method.name
    requests: dict[str, Message] = {
        "CreateProject": pb.CreateProjectRequest(
            parent=world.org, project_id="x", validate_only=True
        ),
        "GetProject": pb.GetProjectRequest(name=project),
        "ListProjects": pb.ListProjectsRequest(parent=world.org),
        "UpdateProject": pb.UpdateProjectRequest(
            project=pb.Project(name=project, display_name="Vision", etag='"never"')
        ),
        "ArchiveProject": pb.ArchiveProjectRequest(name=f"{world.org}/projects/none"),
        "RestoreProject": pb.RestoreProjectRequest(name=f"{world.org}/projects/none"),
        "SetProjectTags": pb.SetProjectTagsRequest(name=f"{world.org}/projects/none"),
        "CreateOrganization": pb.CreateOrganizationRequest(org_id="default"),
        "GetOrganization": pb.GetOrganizationRequest(name=world.org),
        "SetMember": pb.SetMemberRequest(
            parent=f"{world.org}/projects/none", user="users/nobody", role=pb.ROLE_VIEWER
        ),
        "RemoveMember": pb.RemoveMemberRequest(name=f"{world.org}/members/nobody"),
        "ListMembers": pb.ListMembersRequest(parent=world.org),
        "CreateToken": pb.CreateTokenRequest(parent=world.org),
        "ListTokens": pb.ListTokensRequest(parent=world.org),
        "RevokeToken": pb.RevokeTokenRequest(name=f"{world.org}/tokens/{uid}"),
        "EraseSubject": pb.EraseSubjectRequest(user="users/nobody-at-all", reason="a test"),
        "GetErasure": pb.GetErasureRequest(name=f"erasures/anon-{'a' * 26}"),
        "CreateRun": pb.CreateRunRequest(
            parent=project, tracked=pb.TrackedRun(), validate_only=True
        ),
        "CompileOperation": pb.CompileOperationRequest(parent=project, spec=b"version: 1.1"),
        "RenameRun": pb.RenameRunRequest(name=f"{project}/runs/{uid}", display_name="x"),
        "DeleteRun": pb.DeleteRunRequest(name=f"{project}/runs/{uid}"),
        "RestoreRun": pb.RestoreRunRequest(name=f"{project}/runs/{uid}"),
        "StopRun": pb.StopRunRequest(name=f"{project}/runs/{uid}"),
        "FinishRun": pb.FinishRunRequest(
            name=f"{project}/runs/{uid}", status=pb.RUN_STATUS_SUCCEEDED
        ),
        "GetRun": pb.GetRunRequest(name=world.run),
        "ListRuns": pb.ListRunsRequest(parent=project),
        "SearchRuns": pb.SearchRunsRequest(parents=[project]),
        "GroupRuns": pb.GroupRunsRequest(parents=[project], group_by=["status"]),
        "TabulateRuns": pb.TabulateRunsRequest(parents=[project]),
        "AnnotateRun": pb.AnnotateRunRequest(run=f"{project}/runs/{uid}"),
        "BookmarkRun": pb.BookmarkRunRequest(run=f"{project}/runs/{uid}"),
        "GetRunMarks": pb.GetRunMarksRequest(run=world.run),
        "SaveSearch": pb.SaveSearchRequest(
            parent=project, search_id="x", search=pb.SavedSearch(filter="x")
        ),
        "ShareSearch": pb.ShareSearchRequest(name=f"{project}/searches/none"),
        "GetSearch": pb.GetSearchRequest(name=f"{project}/searches/none"),
        "ListSearches": pb.ListSearchesRequest(parent=project),
        "DeleteSearch": pb.DeleteSearchRequest(name=f"{project}/searches/none"),
        "RankParams": pb.RankParamsRequest(parents=[project], target="metrics.loss"),
        "WatchRun": pb.WatchRunRequest(name=f"{project}/runs/{uid}"),
        "OpenProducer": pb.OpenProducerRequest(run=f"{project}/runs/{uid}", producer=uid),
        "WriteTelemetry": pb.TelemetryBatch(
            run=f"{project}/runs/{uid}",
            producer=uid,
            epoch=1,
            batch=1,
            kind=pb.TELEMETRY_KIND_POINTS,
            payload=b"\x0a\x00",
        ),
        "GetProducerCursor": pb.GetProducerCursorRequest(run=world.run, producer=uid),
        "WatchProducerCursor": pb.WatchProducerCursorRequest(
            run=f"{project}/runs/{uid}", producer=uid
        ),
        "SealProducer": pb.SealProducerRequest(run=f"{project}/runs/{uid}", producer=uid),
        "LogParams": pb.LogParamsRequest(
            run=f"{project}/runs/{uid}", params={"a": pb.Value(int_value=1)}
        ),
        "LogMetrics": pb.LogMetricsRequest(
            run=f"{project}/runs/{uid}", points=[pb.MetricPoint(metric="a", value=1)]
        ),
        "SetTags": pb.SetTagsRequest(run=f"{project}/runs/{uid}", tags={"a": "b"}),
        "ListMetrics": pb.ListMetricsRequest(run=world.run),
        "GetMetricSeries": pb.GetMetricSeriesRequest(run=world.run, metric="loss"),
        "ListLogLines": pb.ListLogLinesRequest(run=world.run),
        "TailLogLines": pb.TailLogLinesRequest(run=f"{project}/runs/{uid}"),
        "ReportLoss": pb.ReportLossRequest(
            run=f"{project}/runs/{uid}", producer=uid, points=1, reason="walked"
        ),
        "TruncateSeries": pb.TruncateSeriesRequest(run=f"{project}/runs/{uid}", from_step=1),
        "GetRetention": pb.GetRetentionRequest(project=project),
        "SetRetention": pb.SetRetentionRequest(retention=pb.Retention(project=project)),
        "ListArchive": pb.ListArchiveRequest(run=world.run),
        "ReadArchive": pb.ReadArchiveRequest(run=f"{project}/runs/{uid}", sha256="0" * 64),
        "RestoreArchive": pb.RestoreArchiveRequest(run=f"{project}/runs/{uid}"),
        "PurgeRun": pb.PurgeRunRequest(run=f"{project}/runs/{uid}", reason="walked"),
        "QuerySeries": pb.QuerySeriesRequest(parent=project, runs=[uid]),
        "TailMetrics": pb.TailMetricsRequest(run=f"{project}/runs/{uid}"),
        "LogRecords": pb.LogRecordsRequest(
            run=f"{project}/runs/{uid}",
            records=[pb.Record(id="a", kind="text", series="x", path="x", sha256=bytes(32))],
        ),
        "GetRecord": pb.GetRecordRequest(run=world.run, record="a"),
        "ListRecords": pb.ListRecordsRequest(run=world.run),
        "ListRecordSeries": pb.ListRecordSeriesRequest(run=world.run),
        "GetArtifact": pb.GetArtifactRequest(run=world.run, path="x"),
        "ListArtifacts": pb.ListArtifactsRequest(run=world.run),
        "UseDataset": pb.UseDatasetRequest(run=f"{project}/runs/{uid}", dataset="d", uri="mem://x"),
        "LogDataset": pb.LogDatasetRequest(run=f"{project}/runs/{uid}", dataset="d", uri="mem://x"),
        "UseModel": pb.UseModelRequest(
            run=f"{project}/runs/{uid}", model_version=f"{project}/models/none/versions/1"
        ),
        "ListDatasets": pb.ListDatasetsRequest(parent=project),
        "ListDatasetVersions": pb.ListDatasetVersionsRequest(parent=f"{project}/datasets/none"),
        "SetDatasetStage": pb.SetDatasetStageRequest(
            name=f"{project}/datasets/none/versions/1", stage="Production"
        ),
        "ListDatasetStages": pb.ListDatasetStagesRequest(parent=f"{project}/datasets/none"),
        "PromoteVersion": pb.PromoteVersionRequest(
            name=f"{world.org}/components/none/versions/v1", stage="Production"
        ),
        "RollbackStage": pb.RollbackStageRequest(
            name=f"{project}/datasets/none", stage="Production", reason="x"
        ),
        "TakeStage": pb.TakeStageRequest(
            name=f"{project}/datasets/none/versions/1", stage="Production"
        ),
        "ListHeldStages": pb.ListHeldStagesRequest(parent=f"{world.org}/components/none"),
        "GetDatasetVersion": pb.GetDatasetVersionRequest(
            name=f"{project}/datasets/none/versions/1"
        ),
        "CompareDatasetVersions": pb.CompareDatasetVersionsRequest(
            name=f"{project}/datasets/none/versions/1", base=f"{project}/datasets/none/versions/2"
        ),
        "ValidateDatasetVersion": pb.ValidateDatasetVersionRequest(
            name=f"{project}/datasets/none/versions/1",
            rules=[pb.DatasetRule(kind=pb.DATASET_RULE_KIND_ROWS)],
        ),
        "GetLineage": pb.GetLineageRequest(parent=project, node=f"{project}/runs/{uid}"),
        "GetGraphNode": pb.GetGraphNodeRequest(parent=project, node=world.run),
        "ListGraphNodes": pb.ListGraphNodesRequest(parent=project),
        "TraverseGraph": pb.TraverseGraphRequest(parent=project, node=world.run),
        "AssessImpact": pb.AssessImpactRequest(parent=project, node=world.run),
        "FindGraphPath": pb.FindGraphPathRequest(
            parent=project, source=world.run, target=world.run
        ),
        "TraverseColumns": pb.TraverseColumnsRequest(parent=project, dataset=world.run),
        "ExplainNode": pb.ExplainNodeRequest(parent=project, node=world.run),
        "RegisterModelVersion": pb.RegisterModelVersionRequest(
            parent=project, model_id="m", run=world.run, artifact_path="none"
        ),
        "SetModelAlias": pb.SetModelAliasRequest(
            name=f"{project}/models/m", alias="champion", version=1
        ),
        "DeleteModelAlias": pb.DeleteModelAliasRequest(
            name=f"{project}/models/m", alias="champion"
        ),
        "GetModel": pb.GetModelRequest(name=f"{project}/models/m"),
        "ListModels": pb.ListModelsRequest(parent=project),
        "GetModelVersion": pb.GetModelVersionRequest(name=f"{project}/models/m/versions/1"),
        "ListModelVersions": pb.ListModelVersionsRequest(parent=f"{project}/models/m"),
        "CreateSubscription": pb.CreateSubscriptionRequest(
            parent=f"{world.org}/projects/none",
            channel=pb.Channel(
                webhook=pb.WebhookChannel(url="http://127.0.0.1:9/", secret="s" * 16)
            ),
            occasions=[pb.OCCASION_RUN_FAILED],
        ),
        "ListSubscriptions": pb.ListSubscriptionsRequest(parent=project),
        "GetSubscription": pb.GetSubscriptionRequest(name=f"{project}/subscriptions/{uid}"),
        "UpdateSubscription": pb.UpdateSubscriptionRequest(
            name=f"{project}/subscriptions/{uid}", occasions=[pb.OCCASION_RUN_FAILED]
        ),
        "TestSubscription": pb.TestSubscriptionRequest(name=f"{project}/subscriptions/{uid}"),
        "DeleteSubscription": pb.DeleteSubscriptionRequest(name=f"{project}/subscriptions/{uid}"),
        "ListDeliveries": pb.ListDeliveriesRequest(parent=project),
        "ListEvents": pb.ListEventsRequest(parent=world.org),
        "GetEvent": pb.GetEventRequest(name=f"{world.org}/events/1"),
        "GetState": pb.GetStateRequest(parent=world.org),
        "CompareStates": pb.CompareStatesRequest(parent=world.org),
        "CheckRule": pb.CheckRuleRequest(
            parent=world.org, rule=pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER
        ),
        "GetCheckpoint": pb.GetCheckpointRequest(parent=world.org),
        "ListCheckpoints": pb.ListCheckpointsRequest(parent=world.org),
        "GetProof": pb.GetProofRequest(parent=world.org, position=1),
        "ExportRecords": pb.ExportRecordsRequest(parent=world.org),
        "AddCosignature": pb.AddCosignatureRequest(parent=world.org, size=1, line="none"),
        **registry_requests(world),
        **orchestration_requests(world, uid),
        **trace_requests(world, uid),
    }
    return requests.get(name, method.request())


def registry_requests(world: World) -> dict[str, Message]:
    """The same for models as a whole, versions and logged models."""
    project = world.project
    model, logged = f"{project}/models/m", f"{project}/loggedModels/m-{'0' * 32}"
    version, ready = f"{model}/versions/1", pb.LOGGED_MODEL_STATUS_READY
    return {
        "CreateModel": pb.CreateModelRequest(parent=project, model_id="walked"),
        "UpdateModel": pb.UpdateModelRequest(model=pb.Model(name=model)),
        "TagModel": pb.TagModelRequest(name=model, tags={"a": "b"}),
        "DeleteModel": pb.DeleteModelRequest(name=model),
        "UpdateModelVersion": pb.UpdateModelVersionRequest(
            model_version=pb.ModelVersion(name=version)
        ),
        "TagModelVersion": pb.TagModelVersionRequest(name=version, tags={"a": "b"}),
        "SetModelVersionStage": pb.SetModelVersionStageRequest(name=version, stage="Staging"),
        "DeleteModelVersion": pb.DeleteModelVersionRequest(name=version),
        "GetRegistryPolicy": pb.GetRegistryPolicyRequest(name=f"{project}/registryPolicy"),
        "SetRegistryPolicy": pb.SetRegistryPolicyRequest(
            name=f"{project}/registryPolicy", validate_only=True
        ),
        "PromoteModelVersion": pb.PromoteModelVersionRequest(name=version, stage="Staging"),
        "ApprovePromotion": pb.ApprovePromotionRequest(name=f"{model}/promotions/1"),
        "RejectPromotion": pb.RejectPromotionRequest(name=f"{model}/promotions/1", reason="x"),
        "ReviewPromotion": pb.ReviewPromotionRequest(name=f"{model}/promotions/1", comment="x"),
        "RollbackModel": pb.RollbackModelRequest(name=model, alias="champion", reason="x"),
        "GetPromotion": pb.GetPromotionRequest(name=f"{model}/promotions/1"),
        "ReplayDecisions": pb.ReplayDecisionsRequest(parent=project),
        "GetModelCard": pb.GetModelCardRequest(name=version),
        "WriteCardSection": pb.WriteCardSectionRequest(name=model, section=1),
        "ListPromotions": pb.ListPromotionsRequest(parent=project),
        "SignModelVersion": pb.SignModelVersionRequest(name=version, bundle="{}"),
        "ListModelVersionFiles": pb.ListModelVersionFilesRequest(parent=version),
        "ListModelVersionSignatures": pb.ListModelVersionSignaturesRequest(parent=version),
        "SearchModels": pb.SearchModelsRequest(parents=[project]),
        "RecordOpenLineage": pb.RecordOpenLineageRequest(parent=project, events=[b"{}"]),
        "GetOpenLineage": pb.GetOpenLineageRequest(parent=project, node=f"{project}/jobs/x"),
        "SearchModelVersions": pb.SearchModelVersionsRequest(parents=[project]),
        "CreateLoggedModel": pb.CreateLoggedModelRequest(parent=project, display_name="walked"),
        "FinalizeLoggedModel": pb.FinalizeLoggedModelRequest(name=logged, status=ready),
        "AddLoggedModelParams": pb.AddLoggedModelParamsRequest(name=logged, params={"a": "b"}),
        "TagLoggedModel": pb.TagLoggedModelRequest(name=logged, tags={"a": "b"}),
        "MeasureLoggedModel": pb.MeasureLoggedModelRequest(
            name=logged, metrics=[pb.LoggedModelMetric(metric="a", value=1)]
        ),
        "DeleteLoggedModel": pb.DeleteLoggedModelRequest(name=logged),
        "GetLoggedModel": pb.GetLoggedModelRequest(name=logged),
        "SearchLoggedModels": pb.SearchLoggedModelsRequest(parents=[project]),
        "LinkLoggedModels": pb.LinkLoggedModelsRequest(run=world.run, used=[logged]),
        "ListLinkedModels": pb.ListLinkedModelsRequest(run=world.run),
        "BatchListLinkedModels": pb.BatchListLinkedModelsRequest(
            parents=[project], runs=[world.run]
        ),
        "DeclareAlertRules": pb.DeclareAlertRulesRequest(
            run=world.run, rules=[pb.AlertRule(name="walked", never=pb.NeverCondition())]
        ),
        "ListAlertRules": pb.ListAlertRulesRequest(run=world.run),
        "ListAlerts": pb.ListAlertsRequest(parent=project),
        "GetRunActivity": pb.GetRunActivityRequest(run=world.run),
    }


def orchestration_requests(world: World, uid: str) -> dict[str, Message]:
    """The same for pipelines, queues, components, captures and terminals."""
    run, project = f"{world.project}/runs/{uid}", world.project
    queue, component = f"{world.org}/queues/none", f"{world.org}/components/none/versions/v1"
    return {
        "RestartRun": pb.RestartRunRequest(name=run),
        "ResumeRun": pb.ResumeRunRequest(name=run),
        "ApproveRun": pb.ApproveRunRequest(name=run),
        "ReleaseRun": pb.ReleaseRunRequest(name=run, hold="upload"),
        "SkipRun": pb.SkipRunRequest(name=run),
        "PauseRun": pb.PauseRunRequest(name=run),
        "UnpauseRun": pb.UnpauseRunRequest(name=run),
        "UpdatePipeline": pb.UpdatePipelineRequest(name=run, concurrency=1),
        "RecordOutputs": pb.RecordOutputsRequest(
            name=run, outputs={"loss": pb.Value(double_value=0.5)}
        ),
        "ExplainRun": pb.ExplainRunRequest(name=run),
        "PreviewSchedule": pb.PreviewScheduleRequest(parent=project, name=run),
        "TestTrigger": pb.TestTriggerRequest(parent=project, name=run),
        "EmitEvent": pb.EmitEventRequest(parent=project, kind="walked"),
        "CreateQueue": pb.CreateQueueRequest(parent=world.org, queue_id="walked"),
        "GetQueue": pb.GetQueueRequest(name=queue),
        "ListQueues": pb.ListQueuesRequest(parent=world.org),
        "UpdateQueue": pb.UpdateQueueRequest(
            queue=pb.Queue(name=queue), update_mask=FieldMask(paths=["waiting"])
        ),
        "DeleteQueue": pb.DeleteQueueRequest(name=queue),
        "ListAgents": pb.ListAgentsRequest(parent=world.org),
        "GetProjectPolicy": pb.GetProjectPolicyRequest(name=project),
        "SetProjectPolicy": pb.SetProjectPolicyRequest(policy=pb.ProjectPolicy(name=project)),
        "RegisterComponent": pb.RegisterComponentRequest(
            parent=world.org, component_id="none", spec=b"["
        ),
        "GetComponent": pb.GetComponentRequest(name=component),
        "ListComponents": pb.ListComponentsRequest(parent=world.org),
        "SetComponentStage": pb.SetComponentStageRequest(name=component, stage="Production"),
        "DeleteComponent": pb.DeleteComponentRequest(name=component),
        "RecordCapture": pb.RecordCaptureRequest(run=run, capture=pb.Capture(run=run)),
        "GetCapture": pb.GetCaptureRequest(run=run),
        "CompareRuns": pb.CompareRunsRequest(run=run, other=run),
        "OpenTerminal": pb.OpenTerminalRequest(run=run),
        "ReadTerminal": pb.ReadTerminalRequest(run=run, terminal=uid),
        "WriteTerminal": pb.WriteTerminalRequest(run=run, terminal=uid),
    }


def trace_requests(world: World, uid: str) -> dict[str, Message]:
    """The same for traces."""
    project = world.project
    trace, known = f"{project}/traces/tr-none", f"a-{'0' * 32}"
    feedback = pb.Assessment(
        assessment_id=known, assessment_name="good", kind=pb.ASSESSMENT_KIND_FEEDBACK
    )
    return {
        "RecordTrace": pb.RecordTraceRequest(
            parent=project, trace_id="tr-walked", trace=pb.Trace(state=pb.TRACE_STATE_OK)
        ),
        "WriteSpans": pb.WriteSpansRequest(parent=project, spans=[b"none"]),
        "GetTrace": pb.GetTraceRequest(name=trace),
        "ListSpans": pb.ListSpansRequest(parent=trace),
        "SearchTraces": pb.SearchTracesRequest(parents=[project]),
        "TagTrace": pb.TagTraceRequest(name=trace, tags={"a": "b"}),
        "DeleteTraces": pb.DeleteTracesRequest(parent=project, trace_ids=["tr-none"]),
        "AssessTrace": pb.AssessTraceRequest(parent=trace, assessment=feedback),
        "UpdateAssessment": pb.UpdateAssessmentRequest(parent=trace, assessment=feedback),
        "DeleteAssessment": pb.DeleteAssessmentRequest(parent=trace, assessment_id=known),
        "LinkTraces": pb.LinkTracesRequest(run=f"{project}/runs/{uid}", trace_ids=["tr-none"]),
    }


def outcome(method: AnyMethod, world: World, token: str | None) -> grpc.StatusCode:
    """Call as bytes, like any client, and return the status."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    body = request_for(method, world).SerializeToString()
    try:
        if isinstance(method, StreamMethod):
            call = world.channel.unary_stream(method.path)(body, metadata=metadata, timeout=30)
            next(iter(call), None)
            call.cancel()
        else:
            world.channel.unary_unary(method.path)(body, metadata=metadata, timeout=30)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", OUTSIDE, ids=lambda method: method.full_name)
def test_everyone_may_do_exactly_what_is_declared(world: World, method: AnyMethod) -> None:
    permission = method.policy.permission
    assert outcome(method, world, None) == grpc.StatusCode.UNAUTHENTICATED
    assert outcome(method, world, "epo_" + "x" * 43) == grpc.StatusCode.UNAUTHENTICATED
    for name, role in ROLES.items():
        code = outcome(method, world, world.tokens[name])
        allowed = permission == "authenticated" or permitted(role, permission)
        assert (code not in REFUSED) == allowed, f"{name}: {code}, declared {permission}"
    stranger = outcome(method, world, world.tokens["stranger"])
    assert (stranger not in REFUSED) == (permission == "authenticated"), f"stranger: {stranger}"
    scoped = outcome(method, world, world.tokens["scoped"])
    assert (scoped not in REFUSED) == (permission in ("authenticated", "run.read")), scoped


@pytest.mark.parametrize("method", INSIDE, ids=lambda method: method.full_name)
def test_internal_rpcs_are_on_no_door(world: World, platform: Platform, method: AnyMethod) -> None:
    assert outcome(method, world, platform.token) == grpc.StatusCode.UNIMPLEMENTED


def test_only_the_platform_administrator_makes_organisations(
    world: World, platform: Platform
) -> None:
    assert outcome(AccessService.CREATE_ORGANIZATION, world, platform.token) == (
        grpc.StatusCode.ALREADY_EXISTS
    )


def test_a_search_is_allowed_only_where_every_parent_is(world: World, platform: Platform) -> None:
    suffix = uuid4().hex[:8]
    with platform.client() as admin:
        user = f"users/guest-{suffix}"
        admin.call(
            AccessService.SET_MEMBER,
            pb.SetMemberRequest(parent=world.project, user=user, role=pb.ROLE_VIEWER),
        )
        guest = admin.call(
            AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=world.org, user=user)
        ).secret
        elsewhere = make_org(admin, f"elsewhere-{suffix}")

    def code(token: str, *parents: str) -> grpc.StatusCode:
        body = pb.SearchRunsRequest(parents=parents).SerializeToString()
        metadata = (("authorization", f"Bearer {token}"),)
        path = SearchService.SEARCH_RUNS.path
        try:
            world.channel.unary_unary(path)(body, metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            found: grpc.StatusCode = error.code()
            return found
        return grpc.StatusCode.OK

    viewer = world.tokens["viewer"]
    assert code(viewer, world.project, world.org) not in REFUSED
    assert code(viewer, world.project, elsewhere) == grpc.StatusCode.PERMISSION_DENIED
    assert code(guest, world.project) not in REFUSED
    # Who is let into one project only cannot search the whole organisation.
    assert code(guest, world.project, world.org) == grpc.StatusCode.PERMISSION_DENIED
    assert code(guest) == grpc.StatusCode.INVALID_ARGUMENT


def test_a_revoked_token_is_refused_at_once(world: World, platform: Platform) -> None:
    with platform.client() as admin:
        made = admin.call(AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent="orgs/default"))
        with platform.client(made.secret) as client:
            client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
        admin.call(AccessService.REVOKE_TOKEN, pb.RevokeTokenRequest(name=made.token.name))
    assert outcome(AccessService.GET_CALLER, world, made.secret) == grpc.StatusCode.UNAUTHENTICATED
