"""What happens, in the words of triggers: one event of the log as kinds, subject and attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import epochal_proto.v1 as pb
from google.protobuf.message import Message
from pydantic import JsonValue

from epochal_scheduler.values import from_value

_STATUSES: dict[type[Message], str] = {
    pb.RunCreated: "created",
    pb.RunQueued: "queued",
    pb.RunScheduled: "scheduled",
    pb.RunStarting: "starting",
    pb.RunStarted: "running",
    pb.RunStopRequested: "stopping",
    pb.RunRetrying: "retrying",
    pb.RunResumed: "resuming",
    pb.RunSucceeded: "succeeded",
    pb.RunFailed: "failed",
    pb.RunStopped: "stopped",
    pb.RunSkipped: "skipped",
    pb.RunUpstreamFailed: "upstream_failed",
}
_DONE = frozenset({"succeeded", "failed", "stopped", "skipped", "upstream_failed"})


@dataclass(frozen=True, slots=True)
class Happening:
    """One event as triggers see it.

    Attributes:
        kinds: all kinds that it counts as, such as `run_status_failed` and `run_status_done`.
        subjects: what `ref` may name it by, such as `runs.UUID` or `models.churn`.
        project: resource name of the project it is of; empty for the organisation's own.
        resource: what it is about.
        attributes: what filters may look at, and what fills inputs of the same name.
    """

    kinds: tuple[str, ...]
    subjects: tuple[str, ...]
    project: str
    resource: str
    at: datetime
    position: int
    actor: str = ""
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)


def happening(
    event: Message, resource: str, position: int, at: datetime, actor: str = ""
) -> Happening | None:
    """Returns an event as triggers see it; None for one that none may wait for."""
    status = _STATUSES.get(type(event))
    project = resource.partition("/runs/")[0]
    project = "/".join(project.split("/")[:4])
    found: tuple[tuple[str, ...], tuple[str, ...], dict[str, JsonValue]]
    if status is not None:
        kinds = (f"run_status_{status}", *(["run_status_done"] if status in _DONE else []))
        uid = resource.rpartition("/")[2]
        found = kinds, (f"runs.{uid}",), {"run": resource, "uuid": uid, "status": status}
    else:
        other = _other(event)
        if other is None:
            return None
        found = other
        project = _project(event) or project
    kinds, subjects, attributes = found
    return Happening(kinds, subjects, project, resource, at, position, actor, attributes)


METRIC_THRESHOLD = "run_metric_threshold"


def metrics_of(run: pb.Run, at: datetime) -> Happening:
    """Returns what a run has reported so far as a happening: metrics are no events of the log."""
    values: dict[str, JsonValue] = {name: found.last for name, found in run.metrics.items()}
    attributes: dict[str, JsonValue] = {
        "run": run.name,
        "uuid": run.uid,
        "metrics": values,
        "kind": METRIC_THRESHOLD,
    }
    return Happening(
        (METRIC_THRESHOLD,),
        (f"runs.{run.uid}",),
        run.name.partition("/runs/")[0],
        run.name,
        at,
        0,
        run.creator,
        attributes,
    )


def _other(
    event: Message,
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, JsonValue]] | None:
    match event:
        case pb.RunApprovalGiven(approver=approver):
            return ("run_approved_actor",), (), {"approver": approver}
        case pb.ArtifactLogged(run=run, path=path, kind=kind):
            uid = run.rpartition("/")[2]
            named: dict[str, JsonValue] = {"run": run, "path": path, "kind": kind}
            named["digest"] = "sha256:" + event.sha256.hex()
            subjects = (f"runs.{uid}", f"artifacts.{path}")
            return ("run_new_artifacts", "artifact_new_version"), subjects, named
        case pb.DatasetUsed(dataset=dataset, digest=digest):
            values: dict[str, JsonValue] = {"dataset": dataset, "digest": digest}
            return (
                ("dataset_new_version", "connection_dataset_version"),
                (f"datasets.{dataset}",),
                values,
            )
        case pb.ModelAliasSet(model=model, alias=alias, version=version):
            name = model.rpartition("/")[2]
            values = {"model": name, "alias": alias, "version": version}
            return (
                ("model_version_new_alias", "model_version_new_stage"),
                (f"models.{name}",),
                values,
            )
        case pb.MetricAlertRaised() as alert:
            return _alert(alert)
        case pb.CustomEventEmitted(kind=kind, attributes=given):
            values = {name: from_value(value) for name, value in given.items()}
            kinds = ("project_custom_event", "org_custom_event")
            return kinds, (f"events.{kind}",), {"kind": kind, **values}
        case _:
            return None


def _alert(
    alert: pb.MetricAlertRaised,
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, JsonValue]]:
    severity = pb.AlertSeverity.Name(alert.severity).removeprefix("ALERT_SEVERITY_").lower()
    attributes: dict[str, JsonValue] = {
        "run": alert.run,
        "uuid": alert.run.rpartition("/")[2],
        "rule": alert.rule,
        "metric": alert.metric,
        "severity": severity,
        "message": alert.message,
        "value": alert.value if math.isfinite(alert.value) else None,
        "step": alert.step,
    }
    subjects = (f"runs.{attributes['uuid']}", f"alerts.{alert.rule}")
    return (f"alert_{severity}",), subjects, attributes


def _project(event: Message) -> str:
    match event:
        case pb.CustomEventEmitted(project=project):
            return str(project)
        case pb.ModelAliasSet(model=name):
            return "/".join(str(name).split("/")[:4])
        case pb.ArtifactLogged(run=name) | pb.DatasetUsed(run=name):
            return str(name).partition("/runs/")[0]
        case _:
            return ""
