"""Promotions through the gateway: gates, people, the way back, every door."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal import errors
from epochal.artifacts import ArtifactDoor
from epochal_proto.v1.services import (
    AuditService,
    HistoryService,
    PromotionService,
    RegistryService,
    RetentionService,
    RunService,
)
from platform_world import Platform
from promotion_world import POLICY, Office, opened


@pytest.fixture(scope="module")
def office(platform: Platform) -> Iterator[Office]:
    with opened(platform) as made:
        made.policy(POLICY)
        yield made


def in_production(office: Office, model: str, acc: float) -> pb.ModelVersion:
    version = office.register(model, acc)
    assert office.promote("ann", version, stage="Staging").state == pb.PROMOTION_STATE_COMPLETED
    wish = office.promote("ann", version, stage="Production", reason="better")
    assert wish.state == pb.PROMOTION_STATE_OPEN, wish
    done = office.approve("bea", wish.name)
    assert done.state == pb.PROMOTION_STATE_COMPLETED, done
    return version


def test_a_version_goes_into_production_by_its_metrics_and_by_somebody_elses_word(
    office: Office,
) -> None:
    first = in_production(office, "digits", 0.85)
    assert office.get(first).metrics == {"acc": 0.85}
    second = office.register("digits", 0.855)
    office.promote("ann", second, stage="Staging")
    refused = office.promote("ann", second, stage="Production")
    assert refused.state == pb.PROMOTION_STATE_REFUSED
    (shut,) = [one for one in refused.gates if not one.passed and one.kind == pb.GATE_KIND_METRIC]
    assert shut.rule == "metrics.acc > holder.metrics.acc + 0.01"
    assert shut.reason == "0.855 > 0.86"
    third = in_production(office, "digits", 0.9)
    assert (office.get(first).stage, office.get(third).stage) == ("Archived", "Production")
    listed = office.admin.call(
        PromotionService.LIST_PROMOTIONS,
        pb.ListPromotionsRequest(parent=office.project, state=pb.PROMOTION_STATE_REFUSED),
    ).promotions
    assert refused.name in [one.name for one in listed]


def test_a_preview_shows_each_gate_and_leaves_no_trace(office: Office) -> None:
    version = office.register("previewed", 0.5)
    shown = office.promote("ann", version, stage="Production", validate_only=True)
    assert {one.rule: one.passed for one in shown.gates} == {
        "from Staging": False,
        "metrics.acc >= 0.8": False,
        "metrics.acc > holder.metrics.acc + 0.01": True,
        "approved by 1 editor, not its author or requester": False,
    }
    assert (shown.name, shown.state) == ("", pb.PROMOTION_STATE_REFUSED)
    model = version.name.rpartition("/versions/")[0]
    assert not office.admin.call(
        PromotionService.LIST_PROMOTIONS, pb.ListPromotionsRequest(parent=model)
    ).promotions


def test_author_and_requester_approve_nothing_and_viewers_ask_for_nothing(office: Office) -> None:
    version = office.register("owned", 0.9)
    office.promote("bea", version, stage="Staging")
    wish = office.promote("bea", version, stage="Production")
    for own in ("ann", "bea"):
        with pytest.raises(errors.EpochalError, match="somebody else must approve"):
            office.approve(own, wish.name)
    with pytest.raises(errors.EpochalError, match=r"lacks model\.promote"):
        office.promote("vic", version, stage="Staging")
    with pytest.raises(errors.EpochalError, match=r"lacks model\.approve"):
        office.approve("vic", wish.name)
    with pytest.raises(errors.EpochalError, match=r"lacks model\.govern"):
        office.people["bea"].call(
            PromotionService.SET_REGISTRY_POLICY,
            pb.SetRegistryPolicyRequest(name=f"{office.project}/registryPolicy"),
        )
    rejected = office.people["cy"].call(
        PromotionService.REJECT_PROMOTION,
        pb.RejectPromotionRequest(name=wish.name, reason="not before Friday"),
    )
    assert (rejected.state, rejected.rejection) == (
        pb.PROMOTION_STATE_REJECTED,
        "not before Friday",
    )


def test_one_call_gives_a_place_back(office: Office) -> None:
    first, second = in_production(office, "back", 0.85), in_production(office, "back", 0.9)
    model = first.name.rpartition("/versions/")[0]
    request = pb.RollbackModelRequest(
        name=model, stage="Production", reason="wrong scale", request_id=str(uuid4())
    )
    done = office.people["ann"].call(PromotionService.ROLLBACK_MODEL, request)
    assert (done.kind, done.state) == (pb.PROMOTION_KIND_ROLLBACK, pb.PROMOTION_STATE_COMPLETED)
    assert (office.get(first).stage, office.get(second).stage) == ("Production", "Archived")
    again = office.people["ann"].call(PromotionService.ROLLBACK_MODEL, request)
    assert again.name == done.name
    assert office.get(first).stage == "Production"


def test_an_emergency_moves_at_once_and_stays_visible_until_somebody_else_looks(
    office: Office,
) -> None:
    version = office.register("burning", 0.1)
    with pytest.raises(errors.EpochalError, match="needs a reason"):
        office.promote("cy", version, stage="Production", emergency=True)
    with pytest.raises(errors.EpochalError, match="needs the role admin"):
        office.promote("bea", version, stage="Production", emergency=True, reason="fire")
    done = office.promote("cy", version, stage="Production", emergency=True, reason="fire")
    assert (done.state, done.review_open) == (pb.PROMOTION_STATE_COMPLETED, True)
    assert any(not gate.passed for gate in done.gates)
    seen = pb.ListPromotionsRequest(parent=office.project, review_open=True)
    listed = office.admin.call(PromotionService.LIST_PROMOTIONS, seen).promotions
    assert done.name in [one.name for one in listed]
    review = pb.ReviewPromotionRequest(name=done.name, comment="it was on fire")
    for own in ("cy", "ann"):
        with pytest.raises(errors.EpochalError, match="somebody else must review"):
            office.people[own].call(PromotionService.REVIEW_PROMOTION, review)
    closed = office.people["bea"].call(PromotionService.REVIEW_PROMOTION, review)
    assert (closed.review_open, closed.reviewer) == (False, office.user("bea"))


def test_what_a_policy_governs_is_not_reached_around_it(office: Office) -> None:
    version = in_production(office, "around", 0.85)
    model = version.name.rpartition("/versions/")[0]
    worse = office.register("around", 0.2)
    registry = RegistryService
    for method, request, message in (
        (
            registry.SET_MODEL_VERSION_STAGE,
            pb.SetModelVersionStageRequest(name=worse.name, stage="Production"),
            "registry policy refuses it",
        ),
        (
            registry.SET_MODEL_VERSION_STAGE,
            pb.SetModelVersionStageRequest(name=version.name),
            "governs",
        ),
        (registry.DELETE_MODEL_VERSION, pb.DeleteModelVersionRequest(name=version.name), "governs"),
        (registry.DELETE_MODEL, pb.DeleteModelRequest(name=model), "governs"),
        (
            registry.REGISTER_MODEL_VERSION,
            pb.RegisterModelVersionRequest(
                parent=office.project, model_id="around", source="s3://x", alias="champion"
            ),
            "governs 'champion'",
        ),
    ):
        with pytest.raises(errors.EpochalError, match=message):
            office.admin.call(method, request)
    champion = pb.SetModelAliasRequest(name=model, alias="champion", version=version.version)
    assert office.admin.call(registry.SET_MODEL_ALIAS, champion).aliases == {
        "champion": version.version
    }
    champion.version = worse.version
    with pytest.raises(errors.EpochalError, match=r"0\.2 > 0\.85"):
        office.admin.call(registry.SET_MODEL_ALIAS, champion)
    with pytest.raises(errors.EpochalError, match="governs 'champion'"):
        office.admin.call(
            registry.DELETE_MODEL_ALIAS, pb.DeleteModelAliasRequest(name=model, alias="champion")
        )
    free = pb.SetModelAliasRequest(name=model, alias="shadow", version=worse.version)
    assert office.admin.call(registry.SET_MODEL_ALIAS, free).aliases["shadow"] == worse.version


def test_rest_and_the_log_tell_the_same_as_the_answer(office: Office) -> None:
    version = office.register("told", 0.9)
    answer = httpx.post(
        f"{office.platform.url}/v1/{version.name}:promote",
        json={"stage": "Staging", "reason": "first"},
        headers={"authorization": f"Bearer {office.platform.token}"},
    )
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["state"] == "PROMOTION_STATE_COMPLETED"
    events = office.admin.call(
        AuditService.LIST_EVENTS,
        pb.ListEventsRequest(
            parent="orgs/default",
            resource=version.name.rpartition("/versions/")[0],
            types=["PromotionEvaluated"],
        ),
    ).events
    evaluated = json.loads(events[-1].payload_json)
    assert evaluated["promotion"] == told["name"]
    policy = office.admin.call(
        PromotionService.GET_REGISTRY_POLICY,
        pb.GetRegistryPolicyRequest(
            name=f"{office.project}/registryPolicy", version=evaluated["policyVersion"]
        ),
    )
    assert (policy.text, policy.digest) == (POLICY, evaluated["policyDigest"])
    checked = office.admin.call(
        HistoryService.CHECK_RULE,
        pb.CheckRuleRequest(
            parent="orgs/default",
            rule=pb.AUDIT_RULE_MOVED_BY_PROMOTION,
            resource=office.project,
            subject="Staging",
        ),
    )
    assert checked.holds
    assert checked.examined > 0


def test_a_policy_that_is_not_right_is_refused_and_the_old_one_stays(office: Office) -> None:
    before = office.policy(POLICY)
    with pytest.raises(errors.EpochalError, match="not right"):
        office.policy("stages: {Production: {gates: {metric: []}}}")
    name = f"{office.project}/registryPolicy"
    request = pb.SetRegistryPolicyRequest(name=name, text="", validate_only=True)
    office.admin.call(PromotionService.SET_REGISTRY_POLICY, request)
    now = office.admin.call(
        PromotionService.GET_REGISTRY_POLICY, pb.GetRegistryPolicyRequest(name=name)
    )
    assert now == before


def test_a_stranger_learns_nothing_of_promotions(office: Office, platform: Platform) -> None:
    version = office.register("secret", 0.9)
    wish = office.promote("ann", version, stage="Staging")
    with opened(platform) as other:
        stranger = other.people["cy"]
        known: list[str] = []
        unknown: list[str] = []
        for found, name in ((known, wish.name), (unknown, wish.name[:-1] + "99")):
            for method, request in (
                (PromotionService.GET_PROMOTION, pb.GetPromotionRequest(name=name)),
                (PromotionService.APPROVE_PROMOTION, pb.ApprovePromotionRequest(name=name)),
            ):
                with pytest.raises(errors.EpochalError) as refused:
                    stranger.call(method, request)
                found.append(str(refused.value).replace(name, "NAME"))
        assert known == unknown


def test_mlflows_door_obeys_the_policy_and_says_which_gate_is_shut(office: Office) -> None:
    name = f"door-{office.suffix}"
    good, bad = (office.register(name, acc) for acc in (0.9, 0.3))
    headers = {"authorization": f"Bearer {office.platform.token}"}
    base = f"{office.platform.url}/api/2.0/mlflow"

    def stage(version: pb.ModelVersion, stage: str) -> httpx.Response:
        body = {
            "name": name,
            "version": str(version.version),
            "stage": stage,
            "archive_existing_versions": False,
        }
        return httpx.post(f"{base}/model-versions/transition-stage", json=body, headers=headers)

    def champion(version: pb.ModelVersion) -> httpx.Response:
        body = {"name": name, "alias": "champion", "version": str(version.version)}
        return httpx.post(f"{base}/registered-models/alias", json=body, headers=headers)

    assert champion(good).status_code == 200
    refused = champion(bad)
    assert refused.status_code == 400
    told = refused.json()
    assert told["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "metrics.acc > holder.metrics.acc: 0.3 > 0.9" in told["message"]
    assert stage(good, "Staging").status_code == 200
    waiting = stage(good, "Production")
    assert waiting.status_code == 400
    assert "waits for approval" in waiting.json()["message"]
    (wish,) = office.admin.call(
        PromotionService.LIST_PROMOTIONS,
        pb.ListPromotionsRequest(
            parent=good.name.rpartition("/versions/")[0], state=pb.PROMOTION_STATE_OPEN
        ),
    ).promotions
    assert wish.name in waiting.json()["message"]
    office.approve("bea", wish.name)
    assert stage(good, "Production").json()["model_version"]["current_stage"] == "Production"


EVALUATE = """
version: 1.1
kind: operation
name: evaluate
params: {version: {value: "VERSION"}}
component:
  inputs: [{name: version, type: str}]
  run: {kind: job, container: {command: [python, -c, "print(1)"]}}
"""


def test_a_run_of_the_platform_validates_and_one_logged_by_hand_does_not(office: Office) -> None:
    with opened(office.platform) as lab:
        lab.policy("stages: {Production: {gates: {validations: [evaluate]}}}")
        version = lab.register("judged", 0.9)
        ann = lab.people["ann"]
        by_hand = ann.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(
                parent=lab.project,
                tracked=pb.TrackedRun(),
                display_name="evaluate",
                tags={"version": version.name},
            ),
        )
        ann.call(
            RunService.FINISH_RUN,
            pb.FinishRunRequest(name=by_hand.name, status=pb.RUN_STATUS_SUCCEEDED),
        )
        refused = lab.promote("ann", version, stage="Production")
        assert [one.rule for one in refused.gates if not one.passed] == ["validated by evaluate"]
        run = ann.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(
                parent=lab.project, spec=EVALUATE.replace("VERSION", version.name).encode()
            ),
        )
        for seen in ann.stream(RunService.WATCH_RUN, pb.WatchRunRequest(name=run.name)):
            if seen.status == pb.RUN_STATUS_SUCCEEDED:
                break
            assert seen.status not in (pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED), seen
        done = lab.promote("ann", version, stage="Production")
        assert done.state == pb.PROMOTION_STATE_COMPLETED
        assert run.name in done.gates[0].reason


def test_what_a_version_is_made_of_is_neither_deleted_nor_overwritten(
    office: Office, tmp_path: Path
) -> None:
    ann = office.people["ann"]
    run = office.run({"acc": 0.5})
    (tmp_path / "w").write_bytes(b"weights")
    (tmp_path / "other").write_bytes(b"others")

    def put(path: str, file: str) -> None:
        source = tmp_path / file
        digest = hashlib.sha256(source.read_bytes()).digest()
        with closing(ArtifactDoor(ann)) as door:
            door.put(run, path, source, sha256=digest, kind="model")

    put("model/w", "w")
    version = ann.call(
        RegistryService.REGISTER_MODEL_VERSION,
        pb.RegisterModelVersionRequest(
            parent=office.project, model_id="kept", run=run, artifact_path="model/"
        ),
    )
    (file,) = ann.call(
        RegistryService.LIST_MODEL_VERSION_FILES,
        pb.ListModelVersionFilesRequest(parent=version.name),
    ).files
    assert (file.path, file.size_bytes) == ("w", 7)
    assert file.sha256 == hashlib.sha256(b"weights").digest()
    put("model/w", "w")
    put("elsewhere", "other")
    with pytest.raises(errors.EpochalError, match="cannot be overwritten"):
        put("model/w", "other")
    refused = httpx.delete(
        f"{office.platform.url}/v1/{run}/artifacts/model/w",
        headers={"authorization": f"Bearer {office.platform.token}"},
    )
    assert refused.status_code >= 400, refused.text
    with pytest.raises(errors.FailedPrecondition, match="is not deleted"):
        ann.call(RunService.DELETE_RUN, pb.DeleteRunRequest(name=run))
    office.admin.call(
        RunService.FINISH_RUN, pb.FinishRunRequest(name=run, status=pb.RUN_STATUS_SUCCEEDED)
    )
    with pytest.raises(errors.FailedPrecondition, match="is kept"):
        office.admin.call(RetentionService.PURGE_RUN, pb.PurgeRunRequest(run=run, reason="x"))
    ann.call(RegistryService.DELETE_MODEL_VERSION, pb.DeleteModelVersionRequest(name=version.name))
    ann.call(RunService.DELETE_RUN, pb.DeleteRunRequest(name=run))


def test_decisions_are_made_again_under_another_policy(office: Office) -> None:
    with opened(office.platform) as lab:
        lab.policy("stages: {Production: {gates: {metrics: [metrics.acc >= 0.5]}}}")
        versions = [lab.register("again", acc) for acc in (0.4, 0.6, 0.8)]
        told = [lab.promote("ann", version, stage="Production") for version in versions]
        request = pb.ReplayDecisionsRequest(
            parent=lab.project,
            text="stages: {Production: {gates: {metrics: [metrics.acc >= 0.7]}}}",
        )
        found = lab.people["cy"].call(PromotionService.REPLAY_DECISIONS, request)
        assert (found.examined, found.differ) == (3, 1)
        (one,) = found.differing
        assert (one.promotion, one.model_version) == (told[1].name, versions[1].name)
        assert (one.before, one.after) == (pb.PROMOTION_STATE_COMPLETED, pb.PROMOTION_STATE_REFUSED)
        assert one.gates[0].reason == "0.6 >= 0.7"
        request.text = lab.policy("stages: {Production: {gates: {metrics: [1 > 0]}}}").text
        assert lab.people["cy"].call(PromotionService.REPLAY_DECISIONS, request).differ == 1
        request.after.position = one.position
        assert lab.people["cy"].call(PromotionService.REPLAY_DECISIONS, request).examined == 1


def test_racing_promotions_leave_one_holder_and_each_move_explained(office: Office) -> None:
    versions = [office.register("raced", 0.5 + number / 100) for number in range(6)]
    model = versions[0].name.rpartition("/versions/")[0]

    def attempt(number: int) -> None:
        who = ("ann", "bea", "cy")[number % 3]
        version = versions[(number * 5) % len(versions)]
        place = {"alias": "champion"} if number % 2 else {"stage": "Staging"}
        if number % 7 == 6:
            request = pb.RollbackModelRequest(name=model, reason="race", **place)
            with suppress(errors.FailedPrecondition):  # nobody had it before
                office.people[who].call(PromotionService.ROLLBACK_MODEL, request)
            return
        office.promote(who, version, **place)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(60)))
    found = [office.get(version) for version in versions]
    assert sum(one.stage == "Staging" for one in found) == 1
    assert sum("champion" in one.aliases for one in found) == 1
    holder = {"stage": 0, "champion": 0}
    events = office.admin.call(
        AuditService.LIST_EVENTS,
        pb.ListEventsRequest(parent="orgs/default", resource=model, page_size=1000),
    ).events
    promotions = {
        json.loads(one.payload_json)["name"] for one in events if one.type.endswith("Requested")
    }
    moves = 0
    for one in events:
        told = json.loads(one.payload_json)
        if one.type.endswith("ModelAliasSet"):
            assert told.get("oldVersion", 0) == holder["champion"], "each move knows the last"
            holder["champion"] = told["version"]
        elif not one.type.endswith("StageChanged"):
            continue
        assert told["promotion"] in promotions
        moves += 1
    assert moves > 5
