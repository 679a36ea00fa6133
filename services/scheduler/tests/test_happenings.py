"""What happens in the words of triggers, and whether it fires one."""

from datetime import UTC, datetime

import epochal_proto.v1 as pb
import pytest
from epochal_scheduler.projections import READ_MODEL
from epochal_scheduler.spec.schema.scheduling import EventTrigger
from epochal_scheduler.working.happenings import happening
from epochal_scheduler.working.matching import Matcher

PROJECT = "orgs/acme/projects/vision"
RUN = f"{PROJECT}/runs/0193a000-0000-7000-8000-000000000001"
UID = RUN.rpartition("/")[2]
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
MODEL = f"{PROJECT}/models/churn"


def happened(event, resource=RUN):
    return happening(event, resource, 7, NOW, "users/a")


STATUSES = {
    pb.RunCreated: "created", pb.RunQueued: "queued", pb.RunScheduled: "scheduled",
    pb.RunStarting: "starting", pb.RunStarted: "running", pb.RunStopRequested: "stopping",
    pb.RunRetrying: "retrying", pb.RunResumed: "resuming", pb.RunSucceeded: "succeeded",
    pb.RunFailed: "failed", pb.RunStopped: "stopped", pb.RunSkipped: "skipped",
    pb.RunUpstreamFailed: "upstream_failed",
}  # fmt: skip
OTHERS = [
    (pb.RunApprovalGiven(approver="users/b"), "run_approved_actor", None),
    (pb.ArtifactLogged(run=RUN, path="m.bin"), "run_new_artifacts", "artifacts.m.bin"),
    (pb.ArtifactLogged(run=RUN, path="m.bin"), "artifact_new_version", f"runs.{UID}"),
    (pb.DatasetUsed(run=RUN, dataset="iris"), "dataset_new_version", "datasets.iris"),
    (pb.ModelAliasSet(model=MODEL, alias="prod"), "model_version_new_alias", "models.churn"),
    (pb.ModelAliasSet(model=MODEL, alias="prod"), "model_version_new_stage", "models.churn"),
    (pb.CustomEventEmitted(project=PROJECT, kind="x"), "project_custom_event", "events.x"),
    (pb.CustomEventEmitted(project=PROJECT, kind="x"), "org_custom_event", "events.x"),
]


@pytest.mark.parametrize(("kind", "status"), STATUSES.items(), ids=STATUSES.values())
def test_each_status_of_a_run_is_a_kind_and_every_end_is_done(kind, status):
    found = happened(kind())
    over = status in ("succeeded", "failed", "stopped", "skipped", "upstream_failed")
    assert found.kinds == (f"run_status_{status}", *(["run_status_done"] if over else []))
    assert found.subjects == (f"runs.{UID}",)
    assert found.project == PROJECT
    assert found.attributes["status"] == status


@pytest.mark.parametrize(("event", "kind", "subject"), OTHERS)
def test_a_rule_of_the_kind_and_subject_fires_and_one_of_another_subject_does_not(
    event, kind, subject
):
    found = happened(event)
    assert found.project == PROJECT
    assert Matcher(EventTrigger(kinds=[kind]), PROJECT).judge(found).counts
    if subject is not None:
        assert Matcher(EventTrigger(kinds=[kind], ref=subject), PROJECT).judge(found).counts
    verdict = Matcher(EventTrigger(kinds=[kind], ref="events.other"), PROJECT).judge(found)
    assert (verdict.counts, verdict.reason) == (False, "it is not about events.other")
    assert Matcher(EventTrigger(kinds=["run_status_queued"]), PROJECT).judge(found) is None


def test_everything_that_may_fire_a_trigger_is_heard_of():
    events = [kind() for kind in STATUSES] + [event for event, *_ in OTHERS]
    assert {event.DESCRIPTOR.full_name for event in events} <= READ_MODEL.interests


def test_what_nobody_may_wait_for_is_no_happening():
    assert happened(pb.RunProcessExited()) is None
    assert happened(pb.TelemetrySealed(run=RUN)) is None


def test_projects_hear_their_own_and_organisations_what_is_for_all():
    elsewhere = pb.CustomEventEmitted(project="orgs/acme/projects/other", kind="x")
    stranger = pb.CustomEventEmitted(project="orgs/evil/projects/vision", kind="x")
    own, wide = (
        Matcher(EventTrigger(kinds=[kind]), PROJECT)
        for kind in ("project_custom_event", "org_custom_event")
    )
    assert own.judge(happened(elsewhere)) is None
    assert wide.judge(happened(elsewhere)).counts
    assert wide.judge(happened(stranger)) is None


def test_a_trigger_does_not_fire_itself():
    matcher = Matcher(EventTrigger(kinds=["run_status_running"]), PROJECT, RUN)
    assert matcher.judge(happened(pb.RunStarted())) is None
    assert matcher.judge(happened(pb.RunStarted(), RUN[:-1] + "2")).counts


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("rows > 10", True),
        ("rows > 99", False),
        ("{{ event.rows == 20 and event.actor == 'users/a' }}", True),
        ("event.kind == 'x'", True),
        ("nothing > 1", False),
        ("rows / 0", False),
    ],
)
def test_filters_see_attributes_and_the_event_and_never_fail(text, counts):
    emitted = pb.CustomEventEmitted(project=PROJECT, kind="x")
    emitted.attributes["rows"].int_value = 20
    rule = EventTrigger(kinds=["project_custom_event"], filter=text)
    assert Matcher(rule, PROJECT).judge(happened(emitted)).counts is counts
