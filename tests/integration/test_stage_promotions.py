"""Stages of datasets and components through the gateway: gates, people, the way back, the past."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from command_line import CommandLine
from epochal import aio_models, errors, models
from epochal.aio import AsyncClient
from epochal.client import Client
from epochal_proto.method import Request, Response, UnaryMethod
from epochal_proto.v1.services import (
    AccessService,
    AuditService,
    ComponentService,
    DatasetService,
    DatasetStageService,
    HistoryService,
    LineageService,
    ProjectService,
    PromotionService,
    RunService,
    StageService,
)
from epochal_scheduler.run_tokens import mint_run_token
from google.protobuf import json_format
from google.protobuf.message import Message
from platform_world import Platform

OF_PROJECT = """
datasets:
  stages:
    Staging: {}
    Production:
      from: [Staging]
      gates:
        metrics: ["metrics.rows >= 100", "metrics.rows >= holder.metrics.rows"]
        checks: [all]
        approvals: [{role: editor}]
"""
OF_ORG = """
components:
  stages:
    Staging: {}
    Production: {from: [Staging], gates: {approvals: [{role: admin}]}}
"""
ROLES = {
    "ann": pb.ROLE_EDITOR,
    "bea": pb.ROLE_EDITOR,
    "cy": pb.ROLE_ADMIN,
    "vic": pb.ROLE_VIEWER,
}
SPEC = """
version: 1.1
kind: component
name: train
run: {kind: job, container: {command: [echo, "TEXT"]}}
"""


@dataclass(frozen=True)
class House:
    """An organisation of its own with a project, its people, and a stranger."""

    platform: Platform
    org: str
    project: str
    people: dict[str, Client]
    tokens: dict[str, str]
    suffix: str

    def call(self, by: str, method: UnaryMethod[Request, Response], request: Message) -> Response:
        """One after the other: who reads next has seen what was written before."""
        client = self.people[by]
        client.saw_position(max(one.position for one in self.people.values()))
        return client.call(method, request)

    def promote(self, by: str, version: str, stage: str, **more: object) -> pb.Promotion:
        request = pb.PromoteVersionRequest(name=version, stage=stage, **more)  # type: ignore[arg-type]  # fields
        return self.call(by, StageService.PROMOTE_VERSION, request)

    def approve(self, by: str, promotion: str) -> pb.Promotion:
        request = pb.ApprovePromotionRequest(name=promotion, comment="fine")
        return self.call(by, PromotionService.APPROVE_PROMOTION, request)

    def held(self, resource: str, position: int = 0) -> dict[str, str]:
        request = pb.ListHeldStagesRequest(parent=resource)
        if position:
            request.as_of.position = position
        found = self.call("vic", StageService.LIST_HELD_STAGES, request).stages
        return {one.stage: one.version.rpartition("/")[2] for one in found}

    def dataset(self, name: str, digit: str, rows: int, by: str = "ann") -> str:
        """A version that a run of somebody's has made."""
        run = self.call(
            by,
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=self.project, tracked=pb.TrackedRun()),
        )
        request = pb.LogDatasetRequest(
            run=run.name,
            dataset=name,
            uri=f"s3://d/{digit}",
            digest=f"sha256:{digit * 64}",
            contents=pb.DatasetContents(rows=rows),
        )
        return self.call(by, LineageService.LOG_DATASET, request).name

    def check(self, version: str, least: float) -> None:
        rule = pb.DatasetRule(kind=pb.DATASET_RULE_KIND_ROWS, min=least)
        request = pb.ValidateDatasetVersionRequest(name=version, rules=[rule])
        self.call("ann", DatasetService.VALIDATE_DATASET_VERSION, request)

    def component(self, name: str, tag: str, by: str = "ann") -> str:
        request = pb.RegisterComponentRequest(
            parent=self.org,
            component_id=name,
            tag=tag,
            spec=SPEC.replace("TEXT", f"this is {tag}").encode(),
        )
        return self.call(by, ComponentService.REGISTER_COMPONENT, request).name


@pytest.fixture(scope="module")
def house(platform: Platform) -> Iterator[House]:
    suffix = uuid4().hex[:8]
    org, other = f"orgs/house-{suffix}", f"orgs/strangers-{suffix}"
    with ExitStack() as stack:
        admin = stack.enter_context(platform.client())
        for name in (org, other):
            admin.call(
                AccessService.CREATE_ORGANIZATION,
                pb.CreateOrganizationRequest(org_id=name.removeprefix("orgs/")),
            )
        project = admin.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent=org, project_id="vision"),
        ).name
        people: dict[str, Client] = {}
        tokens: dict[str, str] = {}
        for name, home, role in [
            *((name, org, role) for name, role in ROLES.items()),
            ("stranger", other, pb.ROLE_OWNER),
        ]:
            user = f"users/{name}-{suffix}"
            admin.call(
                AccessService.SET_MEMBER, pb.SetMemberRequest(parent=home, user=user, role=role)
            )
            tokens[name] = admin.call(
                AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=home, user=user)
            ).secret
            people[name] = stack.enter_context(platform.client(tokens[name]))
        for owner, text in ((project, OF_PROJECT), (org, OF_ORG)):
            people["cy"].call(
                PromotionService.SET_REGISTRY_POLICY,
                pb.SetRegistryPolicyRequest(name=f"{owner}/registryPolicy", text=text),
            )
        yield House(platform, org, project, people, tokens, suffix)


def test_a_dataset_goes_into_production_by_its_contents_its_rules_and_somebody_elses_word(
    house: House,
) -> None:
    small, good = house.dataset("digits", "a", 50), house.dataset("digits", "b", 200)
    resource = good.partition("/versions/")[0]
    house.promote("ann", small, "Staging")
    refused = house.promote("ann", small, "Production")
    assert refused.state == pb.PROMOTION_STATE_REFUSED
    shut = [one.rule for one in refused.gates if not one.passed]
    assert shut[:2] == ["metrics.rows >= 100", "every rule holds"]
    with pytest.raises(errors.FailedPrecondition, match="refuses it"):
        house.promote("ann", small, "Production", now_or_fail=True)
    house.promote("ann", good, "Staging")
    house.check(good, 100)
    wish = house.promote("bea", good, "Production", reason="labels checked")
    assert wish.state == pb.PROMOTION_STATE_OPEN, wish
    for own in ("ann", "bea"):  # whose run made it, and who asked
        with pytest.raises(errors.PermissionDenied, match="somebody else"):
            house.approve(own, wish.name)
    with pytest.raises(errors.PermissionDenied):
        house.approve("vic", wish.name)
    done = house.approve("cy", wish.name)
    assert (done.state, done.old_version) == (pb.PROMOTION_STATE_COMPLETED, "")
    assert house.held(resource) == {"Production": good[-12:], "Staging": good[-12:]}
    listed = house.call(
        "vic", PromotionService.LIST_PROMOTIONS, pb.ListPromotionsRequest(parent=resource)
    )
    assert wish.name in [one.name for one in listed.promotions]
    found = house.call(
        "vic",
        PromotionService.GET_REGISTRY_POLICY,
        pb.GetRegistryPolicyRequest(name=f"{house.project}/registryPolicy"),
    )
    assert done.policy_digest == found.digest, "the text in force is on record"


def test_other_doors_to_a_stage_of_a_dataset_ask_the_same_gates(house: House) -> None:
    version = house.dataset("doors", "c", 10)
    give = pb.SetDatasetStageRequest(name=version, stage="Production", reason="now")
    with pytest.raises(errors.FailedPrecondition, match=r"metrics\.rows >= 100"):
        house.call("ann", DatasetStageService.SET_DATASET_STAGE, give)
    staged = pb.SetDatasetStageRequest(name=version, stage="Staging")
    given = house.call("ann", DatasetStageService.SET_DATASET_STAGE, staged)
    assert given.promotion.endswith("/datasets/doors/promotions/2")
    staged.removed = True
    with pytest.raises(errors.FailedPrecondition, match="governs"):
        house.call("ann", DatasetStageService.SET_DATASET_STAGE, staged)
    take = pb.TakeStageRequest(name=version, stage="Staging")
    with pytest.raises(errors.FailedPrecondition, match="governs"):
        house.call("ann", StageService.TAKE_STAGE, take)


def test_a_component_goes_by_the_policy_of_its_organisation_and_specs_find_it(
    house: House,
) -> None:
    first, second = house.component("train", "v1"), house.component("train", "v2")
    component = first.partition("/versions/")[0]
    for version in (first, second):
        house.promote("bea", version, "Staging")
        wish = house.promote("bea", version, "Production", reason="twice as fast")
        assert wish.state == pb.PROMOTION_STATE_OPEN, wish
        with pytest.raises(errors.PermissionDenied, match="made the version"):
            house.approve("ann", wish.name)
        assert house.approve("cy", wish.name).state == pb.PROMOTION_STATE_COMPLETED
        tag = version.rpartition("/")[2]
        compiled = house.call(
            "cy",
            RunService.COMPILE_OPERATION,
            pb.CompileOperationRequest(
                parent=house.project,
                spec=b"version: 1.1\nkind: operation\nhubRef: train@Production\n",
            ),
        )
        assert f"this is {tag}" in compiled.compiled_json
    assert house.held(component)["Production"] == "v2"
    third = house.component("train", "v3")
    stage = pb.SetComponentStageRequest(name=third, stage="Production")
    with pytest.raises(errors.FailedPrecondition, match="from Staging"):
        house.call("ann", ComponentService.SET_COMPONENT_STAGE, stage)
    with pytest.raises(errors.FailedPrecondition, match="has Production"):
        house.call("ann", ComponentService.DELETE_COMPONENT, pb.DeleteComponentRequest(name=second))
    back = house.call(
        "ann",
        StageService.ROLLBACK_STAGE,
        pb.RollbackStageRequest(name=component, stage="Production", reason="it crashes"),
    )
    assert (back.model_version, back.old_version) == (first, second)
    urgent = pb.PromoteVersionRequest(
        name=third, stage="Production", emergency=True, reason="both crash"
    )
    with pytest.raises(errors.PermissionDenied, match="needs the role admin"):
        house.call("ann", StageService.PROMOTE_VERSION, urgent)
    moved = house.call("cy", StageService.PROMOTE_VERSION, urgent)
    assert moved.review_open
    reviews = house.call(
        "vic",
        PromotionService.LIST_PROMOTIONS,
        pb.ListPromotionsRequest(parent=house.org, review_open=True),
    )
    assert [one.name for one in reviews.promotions] == [moved.name]
    closed = house.call(
        "bea",
        PromotionService.REVIEW_PROMOTION,
        pb.ReviewPromotionRequest(name=moved.name, comment="they did crash"),
    )
    assert not closed.review_open
    with pytest.raises(errors.NotFound):
        house.promote("ann", f"{component}/versions/v9", "Staging")
    house.component("train", "latest")
    with pytest.raises(errors.FailedPrecondition, match="moves by itself"):
        house.promote("ann", f"{component}/versions/latest", "Staging")


def test_stages_and_promotions_are_read_as_they_were(house: House) -> None:
    first, second = house.component("past", "v1"), house.component("past", "v2")
    component, moments = first.partition("/versions/")[0], []
    for version in (first, second):
        house.promote("ann", version, "Staging")
        moments.append(house.people["ann"].position)
    assert [house.held(component, at) for at in moments] == [{"Staging": "v1"}, {"Staging": "v2"}]
    assert house.held(component, moments[0] - 3) == {}

    def listed(position: int) -> list[str]:
        request = pb.ListPromotionsRequest(parent=component)
        request.as_of.position = position
        found = house.call("vic", PromotionService.LIST_PROMOTIONS, request).promotions
        return [one.model_version.rpartition("/")[2] for one in found]

    assert [listed(at) for at in moments] == [["v1"], ["v2", "v1"]]
    wish = house.promote("ann", second, "Production")
    waiting = house.people["ann"].position
    house.approve("cy", wish.name)
    then = pb.GetPromotionRequest(name=wish.name)
    then.as_of.position = waiting
    assert house.call("vic", PromotionService.GET_PROMOTION, then).state == (
        pb.PROMOTION_STATE_OPEN
    )
    for position, expected in zip(moments, [["v1"], ["v2"]], strict=True):
        request = pb.ListComponentsRequest(parent=house.org, component_id="past")
        request.as_of.position = position
        listed_then = house.call("vic", ComponentService.LIST_COMPONENTS, request).components
        staged = [one.name.rpartition("/")[2] for one in listed_then if one.stages]
        assert staged == expected
        one = pb.GetComponentRequest(name=second)
        one.as_of.position = position
        found = house.call("vic", ComponentService.GET_COMPONENT, one)
        assert list(found.stages) == (["Staging"] if expected == ["v2"] else [])
    one.as_of.position = 1
    with pytest.raises(errors.NotFound):
        house.call("vic", ComponentService.GET_COMPONENT, one)
    one.as_of.time.FromDatetime(datetime(2000, 1, 1, tzinfo=UTC))
    with pytest.raises(errors.InvalidArgument, match="not both"):
        house.call("vic", ComponentService.GET_COMPONENT, one)
    one.as_of.position = 0
    with pytest.raises(errors.NotFound):
        house.call("vic", ComponentService.GET_COMPONENT, one)
    one.as_of.time.FromDatetime(datetime(2100, 1, 1, tzinfo=UTC))
    last = house.call("vic", ComponentService.GET_COMPONENT, one)
    assert list(last.stages) == ["Production", "Staging"]
    state = house.call(
        "cy",
        HistoryService.GET_STATE,
        pb.GetStateRequest(
            parent=house.org,
            kinds=[pb.STATE_KIND_COMPONENTS],
            at=pb.Moment(position=moments[1]),
        ),
    )
    fields = {one.name: dict(one.fields) for one in state.entries}
    assert fields[second]["stage.Staging"] == "held"
    assert "stage.Staging" not in fields[first]


def test_whatever_is_asked_at_once_a_stage_has_one_holder_and_each_move_its_promotion(
    house: House,
) -> None:
    tags = [house.component("raced", f"v{number}") for number in range(4)]
    datasets = [house.dataset("raced", digit, 200) for digit in "1234"]

    def ask(version: str) -> None:
        for _ in range(3):
            with suppress(errors.FailedPrecondition, errors.Aborted):
                house.promote("ann", version, "Staging")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, [*tags, *datasets]))
    for resource, kind, version_of in (
        (tags[0].partition("/versions/")[0], pb.ComponentStageSet, lambda one: one.tag),
        (datasets[0].partition("/versions/")[0], pb.DatasetStageSet, lambda one: one.version),
    ):
        told = house.call(
            "cy",
            AuditService.LIST_EVENTS,
            pb.ListEventsRequest(parent=house.org, resource=resource, page_size=1000),
        ).events
        moves, holder = 0, ""
        for one in sorted(told, key=lambda one: one.position):
            if one.type != kind.DESCRIPTOR.full_name:
                continue
            moved = json_format.Parse(one.payload_json, kind())
            old = moved.old_tag if isinstance(moved, pb.ComponentStageSet) else moved.old_version
            assert (moved.kind, old) == (pb.PROMOTION_KIND_GATED, holder)
            assert moved.promotion.startswith(f"{resource}/promotions/")
            moves, holder = moves + 1, version_of(moved)
        assert moves >= 4
        assert house.held(resource) == {"Staging": holder}


def test_nobody_else_sees_or_moves_them(house: House) -> None:
    version, data = house.component("own", "v1"), house.dataset("own", "9", 200)
    wishes = [house.promote("ann", one, "Staging").name for one in (version, data)]
    stranger = house.people["stranger"]
    for name in (version, data):
        resource = name.partition("/versions/")[0]
        for method, request in (
            (StageService.PROMOTE_VERSION, pb.PromoteVersionRequest(name=name, stage="Staging")),
            (StageService.TAKE_STAGE, pb.TakeStageRequest(name=name, stage="Staging")),
            (StageService.LIST_HELD_STAGES, pb.ListHeldStagesRequest(parent=resource)),
            (
                StageService.ROLLBACK_STAGE,
                pb.RollbackStageRequest(name=resource, stage="Staging", reason="x"),
            ),
            (PromotionService.LIST_PROMOTIONS, pb.ListPromotionsRequest(parent=resource)),
        ):
            with pytest.raises(errors.PermissionDenied):
                stranger.call(method, request)
    for wish in wishes:
        for method, request in (
            (PromotionService.GET_PROMOTION, pb.GetPromotionRequest(name=wish)),
            (PromotionService.APPROVE_PROMOTION, pb.ApprovePromotionRequest(name=wish)),
            (PromotionService.REJECT_PROMOTION, pb.RejectPromotionRequest(name=wish, reason="x")),
            (PromotionService.REVIEW_PROMOTION, pb.ReviewPromotionRequest(name=wish, comment="x")),
        ):
            with pytest.raises(errors.PermissionDenied):
                stranger.call(method, request)
    with pytest.raises(errors.PermissionDenied):
        stranger.call(PromotionService.LIST_PROMOTIONS, pb.ListPromotionsRequest(parent=house.org))
    with pytest.raises(errors.PermissionDenied):
        house.call(
            "ann",
            PromotionService.SET_REGISTRY_POLICY,
            pb.SetRegistryPolicyRequest(name=f"{house.org}/registryPolicy", text=""),
        )


def test_a_policy_is_asked_of_every_door_and_says_where_it_belongs(house: House) -> None:
    with pytest.raises(errors.InvalidArgument, match="belong into the policy of an organisation"):
        house.call(
            "cy",
            PromotionService.SET_REGISTRY_POLICY,
            pb.SetRegistryPolicyRequest(
                name=f"{house.project}/registryPolicy", text=OF_ORG, validate_only=True
            ),
        )
    with httpx.Client(
        base_url=house.platform.url,
        headers={"authorization": f"Bearer {house.tokens['ann']}"},
        timeout=30,
    ) as http:
        version = house.component("rest", "v1")
        shown = http.post(
            f"/v1/{version}:promote", json={"stage": "Production", "validateOnly": True}
        )
        assert shown.json()["state"] == "PROMOTION_STATE_REFUSED", shown.text
        done = http.post(f"/v1/{version}:promote", json={"stage": "Staging", "reason": "try"})
        name = done.json()["name"]
        assert done.json()["state"] == "PROMOTION_STATE_COMPLETED"
        assert http.get(f"/v1/{name}").json()["modelVersion"] == version
        component = version.partition("/versions/")[0]
        (held,) = http.get(f"/v1/{component}/heldStages").json()["stages"]
        assert (held["stage"], held["promotion"]) == ("Staging", name)
        assert http.get(f"/v1/{component}/promotions").json()["promotions"][0]["name"] == name
        assert http.get(f"/v1/{version}").json()["stages"] == ["Staging"]
        assert http.get(f"/v1/{house.org}/registryPolicy").json()["version"] == 1
    replayed = house.call(
        "cy",
        PromotionService.REPLAY_DECISIONS,
        pb.ReplayDecisionsRequest(
            parent=house.org, text="components: {stages: {Staging: {gates: {approvals: [{}]}}}}"
        ),
    )
    assert name in [one.promotion for one in replayed.differing]
    followed = house.call(
        "cy",
        PromotionService.REPLAY_DECISIONS,
        pb.ReplayDecisionsRequest(
            parent=house.org,
            text="components: {stages: {Staging: {gates: {approvals: [{}]}}}}",
            carry_on=True,
        ),
    )
    (holder,) = [one for one in followed.holders if one.resource == component]
    assert (holder.stage, holder.was, holder.would_be) == ("Staging", version, "")


def test_the_command_line_speaks_of_datasets_and_components_as_of_models(
    house: House, tmp_path: Path
) -> None:
    cli = CommandLine(house.platform, tmp_path)
    first, second = house.component("told", "v1"), house.component("told", "v2")
    there = ("-p", house.project)
    for version in ("told:v1", "told:v2"):
        cli("components", "promote", version, "--stage", "Staging", "-m", "try", *there)
    cli("components", "promote", "told:v1", "--stage", "Production", *there, code=1)
    shown = cli("components", "promote", "told:v2", "--stage", "Production", *there, code=3)
    wish = shown.stderr.partition("approve ")[2].partition("`")[0]
    cli("components", "approve", wish, "-m", "fine", *there, code=1)  # whoever asked does not
    assert house.approve("cy", f"{first.partition('/versions/')[0]}/promotions/{wish[5:]}").state
    (production, staging) = cli.json("components", "stages", "told", *there)
    assert (production["version"], staging["version"]) == (second, second)
    listed = cli.json("components", "promotions", "told", *there)
    assert len(listed) == 4
    assert cli.json("components", "promotion", wish, *there)["state"].endswith("COMPLETED")
    back = cli.json("components", "rollback", "told", "--stage", "Staging", "-m", "old", *there)
    assert back["modelVersion"] == first
    before = cli.json("components", "stages", "told", "--as-of", "1", *there)
    assert before == []
    policy = tmp_path / "policy.yaml"
    policy.write_text(OF_PROJECT)
    cli("datasets", "policy", "check", "policy.yaml", *there)
    assert "components" in cli("components", "policy", "show", *there).stdout
    house.dataset("told", "8", 10)
    asked = ("datasets", "promote", f"told@{'8' * 12}", "--stage")
    cli(*asked, "Production", "--dry-run", *there)
    cli(*asked, "Staging", "-m", "try", *there)
    cli(*asked, "Production", *there, code=1)
    (held,) = cli.json("datasets", "stages", "told", *there)
    assert (held["stage"], held["reason"]) == ("Staging", "try")
    ours = pb.GetStateRequest(parent=house.org, kinds=[pb.STATE_KIND_DATASETS])
    state = house.call("cy", HistoryService.GET_STATE, ours)
    assert {held["version"]: {"stage.Staging": "held"}}.items() <= {
        one.name: dict(one.fields) for one in state.entries
    }.items()
    cli("audit", "state", "--of", "datasets", "--of", "components")
    for words in (
        ("datasets", "ls"),
        ("datasets", "ls", "told"),
        ("components", "promotions"),
    ):
        assert cli.json(*words, *there)
        assert cli.json(*words, "--as-of", "1", *there) == []
    assert cli.json("components", "ls", "--as-of", "1") == []
    cli("datasets", "show", "told", "--as-of", "1", *there, code=1)


def test_programs_promote_anything_by_the_same_calls_in_either_style(house: House) -> None:
    component, dataset = house.component("called", "v1"), house.dataset("called", "7", 200)
    given = models.promote(house.people["ann"], component, stage="Staging", reason="try")
    assert given.state == pb.PROMOTION_STATE_COMPLETED
    with pytest.raises(errors.InvalidArgument, match="only models have aliases"):
        models.promote(house.people["ann"], component, alias="champion")

    async def asked() -> tuple[pb.Promotion, pb.Promotion]:
        connection = replace(house.platform.connection, token=house.tokens["ann"])
        async with AsyncClient(connection) as client:
            await aio_models.promote(client, dataset, stage="Staging")
            shown = await aio_models.promote(client, dataset, stage="Production", dry_run=True)
            wish = await aio_models.promote(client, component, stage="Production", reason="now")
            return shown, await aio_models.reject(client, wish.name, "not yet")

    shown, rejected = asyncio.run(asked())
    assert shown.state == pb.PROMOTION_STATE_REFUSED
    assert (rejected.state, rejected.rejection) == (pb.PROMOTION_STATE_REJECTED, "not yet")


def test_whoever_starts_a_run_that_asks_does_not_approve_what_it_asked_for(house: House) -> None:
    version = house.dataset("automatic", "6", 200, by="cy")
    house.check(version, 100)
    house.promote("cy", version, "Staging")
    run = house.call(
        "bea",
        RunService.CREATE_RUN,
        pb.CreateRunRequest(parent=house.project, tracked=pb.TrackedRun()),
    ).name
    key = json.loads((house.platform.home.root / "secrets.json").read_text())["run_token_secret"]
    with house.platform.client(mint_run_token(key, run, 1, 2**33)) as job:
        request = pb.PromoteVersionRequest(name=version, stage="Production")
        wish = job.call(StageService.PROMOTE_VERSION, request)
    assert wish.state == pb.PROMOTION_STATE_OPEN, wish
    assert wish.requester.startswith("runs/")
    with pytest.raises(errors.PermissionDenied, match="somebody else"):
        house.approve("bea", wish.name)
    assert house.approve("ann", wish.name).state == pb.PROMOTION_STATE_COMPLETED
