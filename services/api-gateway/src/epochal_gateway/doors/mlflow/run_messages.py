"""Runs as MLflow's clients see them."""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb

from epochal_gateway.doors.mlflow import entries, experiments, model_links
from epochal_gateway.doors.mlflow.names import run_id
from epochal_gateway.doors.mlflow.writing import JsonObject, milliseconds, number, pairs
from epochal_gateway.projections import ProjectRow

RUN_NAME: Final = "mlflow.runName"
USER: Final = "mlflow.user"
NO_MODELS: Final = model_links.Linked()

_WAITING: Final = "SCHEDULED"
_STATUS: Final = {
    pb.RUN_STATUS_CREATED: _WAITING,
    pb.RUN_STATUS_QUEUED: _WAITING,
    pb.RUN_STATUS_SCHEDULED: _WAITING,
    pb.RUN_STATUS_STARTING: _WAITING,
    pb.RUN_STATUS_RETRYING: _WAITING,
    pb.RUN_STATUS_RUNNING: "RUNNING",
    pb.RUN_STATUS_STOPPING: "RUNNING",
    pb.RUN_STATUS_SUCCEEDED: "FINISHED",
    pb.RUN_STATUS_FAILED: "FAILED",
    pb.RUN_STATUS_UPSTREAM_FAILED: "FAILED",
    pb.RUN_STATUS_STOPPED: "KILLED",
    pb.RUN_STATUS_SKIPPED: "KILLED",
}


def run_message(
    run: pb.Run, experiment: ProjectRow, linked: model_links.Linked = NO_MODELS
) -> JsonObject:
    """Return a run with all that is known of it."""
    return {
        "info": info(run, experiment),
        "data": {
            "metrics": [_latest(one) for one in run.metrics.values()],
            "params": [
                {"key": key, "value": entries.text(value)} for key, value in run.params.items()
            ],
            "tags": pairs(tags_of(run)),
        },
        "inputs": {
            "dataset_inputs": [_dataset_input(one) for one in run.inputs],
            "model_inputs": linked.used,
        },
        "outputs": {"model_outputs": linked.made},
    }


def info(run: pb.Run, experiment: ProjectRow) -> JsonObject:
    """Return what MLflow calls the info of a run."""
    uid = run_id(run.name)
    start = run.start_time if run.HasField("start_time") else run.create_time
    deleted = run.HasField("delete_time") or experiment.archived
    found: dict[str, object] = {
        "run_uuid": uid,
        "run_id": uid,
        "run_name": run.display_name,
        "experiment_id": experiments.experiment_id(experiment),
        "user_id": run.tags.get(USER) or run.creator.rpartition("/")[2],
        "status": _STATUS.get(run.status, _WAITING),
        "start_time": milliseconds(start),
        "artifact_uri": artifact_uri(run.name, experiment),
        "lifecycle_stage": "deleted" if deleted else "active",
    }
    if run.HasField("end_time"):
        found["end_time"] = milliseconds(run.end_time)
    return found


def artifact_uri(run: str, experiment: ProjectRow) -> str:
    """Return where the artifacts of a run are."""
    return f"{experiments.artifact_location(experiment).rstrip('/')}/{run_id(run)}/artifacts"


def tags_of(run: pb.Run) -> dict[str, str]:
    """Return the tags of a run; the one that has its name is never out of step with it."""
    return {**run.tags, RUN_NAME: run.display_name}


def status(run: pb.Run) -> str:
    """Return a run's status in MLflow's words."""
    return _STATUS.get(run.status, _WAITING)


def _latest(summary: pb.MetricSummary) -> JsonObject:
    return {
        "key": summary.metric,
        "value": number(summary.last),
        "timestamp": summary.last_time_us // 1_000,
        "step": summary.last_step,
    }


def _dataset_input(details: pb.DatasetDetails) -> JsonObject:
    dataset: dict[str, object] = {
        "name": details.name,
        "digest": details.digest,
        "source_type": details.source_type,
        "source": details.source,
    }
    if details.schema:
        dataset["schema"] = details.schema
    if details.profile:
        dataset["profile"] = details.profile
    return {"tags": pairs(details.tags), "dataset": dataset}
