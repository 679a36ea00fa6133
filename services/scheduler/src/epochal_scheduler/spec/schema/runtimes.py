"""The kinds of `run`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from epochal_scheduler.spec.schema.base import (
    TEMPLATED_MANY,
    JsonObject,
    SpecModel,
    TemplatedBool,
    TemplatedCount,
    TemplatedInt,
    TemplatedPositive,
    Text,
)
from epochal_scheduler.spec.schema.initializing import Init
from epochal_scheduler.spec.schema.running import Container, Environment, Objects
from epochal_scheduler.spec.schema.stopping import EarlyStopping

Names = Annotated[list[str], TEMPLATED_MANY]
Port = Annotated[int, Field(ge=1, le=65535)]
CleanPodPolicy = Literal["All", "Running", "None"]


class _Process(SpecModel):
    """What everything with one main container has."""

    environment: Annotated[Environment, TEMPLATED_MANY] | None = None
    connections: Names | None = None
    volumes: Objects | None = None
    init: Annotated[list[Init], TEMPLATED_MANY] | None = None
    sidecars: Annotated[list[Container], TEMPLATED_MANY] | None = None


class Job(_Process):
    """A process that runs to its end (V1Job)."""

    kind: Literal["job"]
    container: Container


class Service(_Process):
    """A process that answers on ports until it is stopped (V1Service)."""

    kind: Literal["service"]
    container: Container
    ports: Annotated[list[Port], TEMPLATED_MANY] | None = None
    rewrite_path: TemplatedBool | None = None
    is_external: TemplatedBool | None = None
    replicas: TemplatedPositive | None = None


class Dag(SpecModel):
    """Operations that depend on each other (V1Dag); each is a document of its own."""

    kind: Literal["dag"]
    operations: Annotated[list[JsonObject], Field(min_length=1, max_length=10_000)]
    components: list[JsonObject] | None = None
    environment: Annotated[Environment, TEMPLATED_MANY] | None = None
    connections: Names | None = None
    volumes: Objects | None = None
    concurrency: TemplatedPositive | None = None
    early_stopping: Annotated[list[EarlyStopping], TEMPLATED_MANY] | None = None


class Replica(_Process):
    """One role of a distributed job: the same process so many times (V1KFReplica)."""

    replicas: TemplatedCount | None = None
    container: Container | None = None


class RayReplica(Replica):
    """A role of a Ray cluster (V1RayReplica)."""

    min_replicas: TemplatedCount | None = None
    max_replicas: TemplatedCount | None = None
    ray_start_params: dict[str, Text] | None = None


class SchedulingPolicy(SpecModel):
    """How the processes of a distributed job are started together (V1SchedulingPolicy)."""

    min_available: TemplatedInt | None = None
    queue: str | None = None
    min_resources: TemplatedInt | None = None
    priority_class: str | None = None
    schedule_timeout_seconds: TemplatedInt | None = None


class _Kubeflow(SpecModel):
    """What the jobs of the Kubeflow training operator share."""

    clean_pod_policy: CleanPodPolicy | None = None
    scheduling_policy: SchedulingPolicy | None = None


class TFJob(_Kubeflow):
    """A distributed TensorFlow job (V1TFJob)."""

    kind: Literal["tfjob"]
    enable_dynamic_worker: TemplatedBool | None = None
    success_policy: str | None = None
    chief: Replica | None = None
    ps: Replica | None = None
    worker: Replica | None = None
    evaluator: Replica | None = None


class ElasticPolicy(SpecModel):
    """How a PyTorch job grows and shrinks (V1PytorchElasticPolicy)."""

    min_replicas: TemplatedCount | None = None
    max_replicas: TemplatedCount | None = None
    rdvz_backend: str | None = None
    rdvz_port: TemplatedInt | None = None
    rdvz_host: str | None = None
    rdvz_id: str | None = None
    rdvz_conf: Objects | None = None
    standalone: TemplatedBool | None = None
    n_proc_per_node: TemplatedInt | None = None
    max_restarts: TemplatedInt | None = None
    metrics: list[JsonObject] | None = Field(default=None, alias="Metrics")


class PytorchJob(_Kubeflow):
    """A distributed PyTorch job (V1PytorchJob)."""

    kind: Literal["pytorchjob"]
    elastic_policy: ElasticPolicy | None = None
    n_proc_per_node: TemplatedInt | None = None
    master: Replica | None = None
    worker: Replica | None = None


class MPIJob(_Kubeflow):
    """A job over MPI (V1MPIJob)."""

    kind: Literal["mpijob"]
    slots_per_worker: TemplatedInt | None = None
    launcher: Replica | None = None
    worker: Replica | None = None


class RayAutoscalerOptions(SpecModel):
    """How Ray's own autoscaler behaves (V1RayAutoscalerOptions)."""

    upscaling_mode: str | None = None
    image_pull_policy: str | None = None
    resources: JsonObject | None = None


class RayCluster(SpecModel):
    """A Ray cluster with what it is to run (V1RayCluster)."""

    kind: Literal["raycluster"]
    entrypoint: str | None = None
    runtime_env: Annotated[JsonObject, TEMPLATED_MANY] | None = None
    metadata: dict[str, Text] | None = None
    ray_version: Text | None = None
    head: RayReplica | None = None
    workers: dict[str, RayReplica] | None = None
    enable_in_tree_autoscaling: TemplatedBool | None = None
    autoscaler_options: RayAutoscalerOptions | None = None


class DaskCluster(SpecModel):
    """A Dask cluster with what it is to run (V1DaskCluster)."""

    kind: Literal["daskcluster"]
    worker: Replica | None = None
    scheduler: Replica | None = None
    min_replicas: TemplatedCount | None = None
    max_replicas: TemplatedCount | None = None


class Notifier(_Process):
    """Sends a message about a run (V1NotifierJob); without a container the platform sends it."""

    kind: Literal["notifier"]
    container: Container | None = None


class Cleaner(_Process):
    """Deletes what a run left behind (V1CleanerJob)."""

    kind: Literal["cleaner"]
    container: Container | None = None


class Tuner(_Process):
    """Suggests the next trials of a sweep (V1TunerJob)."""

    kind: Literal["tuner"]
    container: Container | None = None


class Watchdog(_Process):
    """Watches other runs."""

    kind: Literal["watchdog"]
    container: Container | None = None


class Builder(_Process):
    """Builds an image."""

    kind: Literal["builder"]
    container: Container | None = None


Runtime = Annotated[
    Job
    | Service
    | Dag
    | TFJob
    | PytorchJob
    | MPIJob
    | RayCluster
    | DaskCluster
    | Notifier
    | Cleaner
    | Tuner
    | Watchdog
    | Builder,
    Field(discriminator="kind"),
]

DISTRIBUTED_ROLES: dict[str, tuple[str, ...]] = {
    "tfjob": ("chief", "ps", "worker", "evaluator"),
    "pytorchjob": ("master", "worker"),
    "mpijob": ("launcher", "worker"),
    "raycluster": ("head", "workers"),
    "daskcluster": ("scheduler", "worker"),
}
"""Distributed kinds, and the fields of each that hold replicas (`workers` by name)."""
