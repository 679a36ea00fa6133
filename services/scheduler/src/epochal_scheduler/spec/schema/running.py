"""What runs and around what: container, environment, termination, plugins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from epochal_scheduler.spec.schema.base import (
    TEMPLATED_MANY,
    JsonObject,
    SpecModel,
    TemplatedBool,
    TemplatedCount,
    TemplatedInt,
    Text,
)

Objects = Annotated[list[JsonObject], TEMPLATED_MANY]

STATUSES = (
    "created", "resuming", "on_schedule", "compiled", "queued", "scheduled", "starting", "running",
    "processing", "stopping", "failed", "stopped", "succeeded", "skipped", "warning",
    "unschedulable", "upstream_failed", "retrying", "unknown", "done",
)  # fmt: skip
"""Statuses of a run, by the names that hooks, notifications and events use."""

Status = Literal[
    "created", "resuming", "on_schedule", "compiled", "queued", "scheduled", "starting", "running",
    "processing", "stopping", "failed", "stopped", "succeeded", "skipped", "warning",
    "unschedulable", "upstream_failed", "retrying", "unknown", "done",
]  # fmt: skip


class EnvVar(SpecModel):
    """An environment variable, as Kubernetes writes it."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^=\x00]+$")]
    value: Text | None = None
    value_from: JsonObject | None = None


class Container(SpecModel):
    """The main container: all fields of a Kubernetes container."""

    name: str | None = None
    image: str | None = None
    image_pull_policy: str | None = None
    command: Annotated[list[Text], TEMPLATED_MANY] | None = None
    args: Annotated[list[Text], TEMPLATED_MANY] | None = None
    env: Annotated[list[EnvVar], TEMPLATED_MANY] | None = None
    env_from: Objects | None = None
    working_dir: str | None = None
    resources: Annotated[JsonObject, TEMPLATED_MANY] | None = None
    resize_policy: Objects | None = None
    restart_policy: str | None = None
    ports: Objects | None = None
    volume_mounts: Objects | None = None
    volume_devices: Objects | None = None
    liveness_probe: JsonObject | None = None
    readiness_probe: JsonObject | None = None
    startup_probe: JsonObject | None = None
    lifecycle: JsonObject | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    security_context: JsonObject | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    tty: bool | None = None


class Environment(SpecModel):
    """Where and how a pod is placed (V1Environment)."""

    labels: Annotated[dict[str, Text], TEMPLATED_MANY] | None = None
    annotations: Annotated[dict[str, Text], TEMPLATED_MANY] | None = None
    node_selector: Annotated[dict[str, Text], TEMPLATED_MANY] | None = None
    affinity: Annotated[JsonObject, TEMPLATED_MANY] | None = None
    tolerations: Objects | None = None
    node_name: str | None = None
    service_account_name: str | None = None
    host_aliases: Objects | None = None
    security_context: JsonObject | None = None
    image_pull_secrets: list[JsonValue] | None = None
    host_network: TemplatedBool | None = None
    host_pid: TemplatedBool | None = Field(default=None, alias="hostPID")
    dns_policy: str | None = None
    dns_config: JsonObject | None = None
    scheduler_name: str | None = None
    priority_class_name: str | None = None
    priority: TemplatedInt | None = None
    restart_policy: Literal["Always", "OnFailure", "Never", "ExitCode"] | None = None


class Culling(SpecModel):
    """Stops an idle service after a time without activity, in seconds."""

    timeout: TemplatedCount | None = None


class Probe(SpecModel):
    """How to see whether a service is idle."""

    http: JsonObject | None = None
    exec: JsonObject | None = None


class Termination(SpecModel):
    """How often, how long, and how long kept, in seconds (V1Termination)."""

    max_retries: TemplatedCount | None = None
    ttl: TemplatedCount | None = None
    timeout: TemplatedCount | None = None
    culling: Culling | None = None
    probe: Probe | None = None
    pod_failure_policy: JsonObject | None = None


class Notification(SpecModel):
    """Whom to tell when the run ends."""

    connections: list[str]
    trigger: Status | None = None


class ArtifactsSidecar(SpecModel):
    """The helper container that copies outputs to the store (V1PolyaxonSidecarContainer)."""

    image: str | None = None
    image_tag: str | None = None
    image_pull_policy: str | None = None
    resources: JsonObject | None = None
    sleep_interval: TemplatedInt | None = None
    sync_interval: TemplatedInt | None = None
    monitor_logs: TemplatedBool | None = None
    monitor_spec: TemplatedBool | None = None


class Plugins(SpecModel):
    """What the platform adds to a run (V1Plugins)."""

    auth: TemplatedBool | None = None
    docker: TemplatedBool | None = None
    shm: TemplatedBool | None = None
    tmux: TemplatedBool | None = None
    sandbox: TemplatedBool | None = None
    ssh: TemplatedBool | None = None
    mount_artifacts_store: TemplatedBool | None = None
    collect_artifacts: TemplatedBool | None = None
    collect_logs: TemplatedBool | None = None
    collect_resources: TemplatedBool | None = None
    sync_statuses: TemplatedBool | None = None
    auto_resume: TemplatedBool | None = None
    external_host: TemplatedBool | None = None
    log_level: str | None = None
    sidecar: ArtifactsSidecar | None = None
    notifications: list[Notification] | None = None
