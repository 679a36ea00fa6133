"""What an MLflow store holds, however it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

#: How MLflow numbers and names the status of a logged model, and what it is called here.
MODEL_STATUSES: Final = {
    "1": "PENDING",
    "2": "READY",
    "3": "FAILED",
    "LOGGED_MODEL_PENDING": "PENDING",
    "LOGGED_MODEL_READY": "READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "FAILED",
}


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment; `experiment_id` is the store's own."""

    experiment_id: str
    name: str
    deleted: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """A run without its histories and files.

    Attributes:
        run_id: as the store has it.
        experiment_id: of the store.
        name: for people.
        status: "FINISHED", "FAILED", "KILLED", "RUNNING" or "SCHEDULED".
        start_ms: 0 when it is not known.
        end_ms: 0 when it has not ended.
        deleted: whether it is in the bin.
        params: by name.
        tags: by name.
        metrics: names of histories, and what tells whether one has grown.
        datasets: `dataset_inputs` as MLflow's API has them.
        used: ids of logged models it has read.
        made: ids of logged models it has made, with steps.
    """

    run_id: str
    experiment_id: str
    name: str
    status: str
    start_ms: int
    end_ms: int
    deleted: bool
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, str]
    datasets: tuple[Mapping[str, object], ...]
    used: tuple[str, ...] = ()
    made: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a history."""

    value: float
    time_ms: int
    step: int


@dataclass(frozen=True, slots=True)
class File:
    """One artifact: path below the run, and size."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Measure:
    """What a metric says of a logged model."""

    metric: str
    value: float
    time_ms: int
    step: int
    run_id: str
    dataset_name: str
    dataset_digest: str


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A logged model; `status` is "PENDING", "READY" or "FAILED", `place` where its files are."""

    model_id: str
    experiment_id: str
    name: str
    model_type: str
    run_id: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    measures: tuple[Measure, ...]
    place: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a registered model."""

    version: int
    source: str
    run_id: str
    description: str
    stage: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model; `aliases` are versions by alias."""

    name: str
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    versions: tuple[Version, ...]


class Store(Protocol):
    """An MLflow store that is read."""

    def close(self) -> None:
        """Closes what is open."""
        ...

    def experiments(self) -> Iterable[Experiment]:
        """All experiments, the deleted ones too."""
        ...

    def runs(self, experiment: Experiment) -> Iterable[Run]:
        """All runs of an experiment, the deleted ones too."""
        ...

    def history(self, run: Run, metric: str) -> Iterator[Point]:
        """Points of a metric, in an order that does not change."""
        ...

    def files(self, run: Run) -> Iterable[File]:
        """Artifacts of a run."""
        ...

    def fetch(self, run: Run, file: File, target: Path) -> None:
        """Write an artifact's bytes to a file."""
        ...

    def logged_models(self, experiment: Experiment) -> Iterable[LoggedModel]:
        """All logged models of an experiment, without the deleted ones."""
        ...

    def model_files(self, model: LoggedModel) -> Iterable[File]:
        """Files of a logged model."""
        ...

    def fetch_model_file(self, model: LoggedModel, file: File, target: Path) -> None:
        """Write the bytes of a logged model's file to a file."""
        ...

    def models(self) -> Iterable[Model]:
        """All registered models."""
        ...
