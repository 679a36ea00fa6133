"""All that the MLflow door serves as JSON: one line for each area."""

from __future__ import annotations

from epochal_gateway.doors.mlflow import (
    artifact_lists,
    assessments,
    experiment_search,
    experiments,
    histories,
    inputs,
    logged_models,
    model_links,
    model_versions,
    recording,
    registered_models,
    run_search,
    runs,
    trace_versions,
    traces,
    webhooks,
)
from epochal_gateway.doors.mlflow.routing import MlflowRoute


def mlflow_routes() -> list[MlflowRoute]:
    """Return the routes of every area."""
    return [
        *experiments.routes(),
        *experiment_search.routes(),
        *runs.routes(),
        *recording.routes(),
        *histories.routes(),
        *run_search.routes(),
        *inputs.routes(),
        *registered_models.routes(),
        *model_versions.routes(),
        *logged_models.routes(),
        *model_links.routes(),
        *artifact_lists.routes(),
        *traces.routes(),
        *trace_versions.routes(),
        *assessments.routes(),
        *webhooks.routes(),
    ]
