"""Rows of the registry and of logged models, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from epochal_kernel.projections.tables import Json, Table


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A registered model; `since` is the position of the event that changed it last."""

    name: str
    project: str
    display_name: str
    description: str
    latest_version: int
    aliases: Json
    tags: Json
    creator: str
    create_time: datetime
    update_time: datetime
    since: int


@dataclass(frozen=True, slots=True)
class ModelVersionRow:
    """A version of a model; `run_id` is the UUID of its run, 32 hex digits.

    `since` is the position of the event that changed it last; `signature` the schema of what goes
    in and out, `signed_by` the keys that its signatures name.
    """

    model: str
    version: int
    project: str
    run: str
    run_id: str
    artifact_path: str
    digest: str
    source: str
    logged_model: str
    description: str
    tags: Json
    stage: str
    creator: str
    create_time: datetime
    update_time: datetime
    metrics: Json
    flavor: str
    signature: str
    file_count: int
    size_bytes: int
    signed_by: Json
    since: int


@dataclass(frozen=True, slots=True)
class LoggedModelRow:
    """A model that was logged; `params` and `tags` are text by name."""

    name: str
    project: str
    display_name: str
    model_type: str
    run: str
    status: int
    status_message: str
    params: Json
    tags: Json
    creator: str
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class LoggedMetricRow:
    """Newest value of one metric of a logged model, by run and dataset."""

    logged_model: str
    metric: str
    run: str
    dataset_name: str
    dataset_digest: str
    value: float
    time_us: int
    step: int


@dataclass(frozen=True, slots=True)
class LinkedModelRow:
    """A logged model that a run has read or made."""

    run: str
    logged_model: str
    produced: bool
    step: int
    position: int


MODELS = Table("model", ModelRow, ("name",))
MODEL_VERSIONS = Table("model_version", ModelVersionRow, ("model", "version"))
LOGGED_MODELS = Table("logged_model", LoggedModelRow, ("name",))
LOGGED_METRICS = Table(
    "logged_metric",
    LoggedMetricRow,
    ("logged_model", "metric", "run", "dataset_name", "dataset_digest"),
)
LINKED_MODELS = Table("linked_model", LinkedModelRow, ("run", "logged_model", "produced"))
