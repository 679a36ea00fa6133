"""Reading MLflow's file store: a folder `mlruns` of meta.yaml files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlparse

import yaml

from epochal.errors import InvalidArgument, NotFound
from epochal.importing.local_files import LocalFiles, copy, files_below
from epochal.importing.records import (
    MODEL_STATUSES,
    Experiment,
    File,
    LoggedModel,
    Measure,
    Model,
    Point,
    Run,
    Version,
)
from epochal.importing.server import Json, text, whole

_STATUSES: Final = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


class Folder:
    """A file store."""

    def __init__(self, root: Path) -> None:
        """Looks whether it is one.

        Raises:
            NotFound: There is no such folder.
            InvalidArgument: It has no experiments.
        """
        if not root.is_dir():
            raise NotFound(f"there is no folder {root}")
        self._root = root
        self._places: dict[str, Path] = {}
        self._local = LocalFiles(root.parent)
        if not any(True for _ in self.experiments()):
            raise InvalidArgument(f"{root} is no MLflow file store: no ID/meta.yaml in it")

    def close(self) -> None:
        """Nothing stays open."""

    def experiments(self) -> Iterable[Experiment]:
        """All experiments, the deleted ones too."""
        for home in (self._root, self._root / ".trash"):
            for place in _folders(home):
                if place.name in ("models", ".trash") or not (place / "meta.yaml").is_file():
                    continue
                meta = _meta(place)
                identity = text(meta, "experiment_id") or place.name
                self._places[identity] = place
                yield Experiment(
                    identity,
                    text(meta, "name"),
                    meta.get("lifecycle_stage") == "deleted" or home.name == ".trash",
                    _values(place / "tags"),
                )

    def runs(self, experiment: Experiment) -> Iterable[Run]:
        """All runs of an experiment, the oldest first."""
        found = [
            _run(experiment.experiment_id, place, self._datasets(place))
            for place in _folders(self._places[experiment.experiment_id])
            if (place / "meta.yaml").is_file() and (place / "params").is_dir()
        ]
        return sorted(found, key=lambda run: (run.start_ms, run.run_id))

    def history(self, run: Run, metric: str) -> Iterator[Point]:
        """Points of a metric: a line each, time, value, step and maybe more."""
        with (self._place(run) / "metrics" / metric).open() as lines:
            for line in lines:
                words = line.split()
                if len(words) >= 2:
                    step = int(words[2]) if len(words) > 2 else 0
                    yield Point(float(words[1]), int(words[0]), step)

    def files(self, run: Run) -> Iterable[File]:
        """Artifacts of a run."""
        return files_below(self._artifacts(run))

    def fetch(self, run: Run, file: File, target: Path) -> None:
        """Write an artifact's bytes to a file."""
        copy(self._artifacts(run), file, target)

    def logged_models(self, experiment: Experiment) -> Iterable[LoggedModel]:
        """All logged models of an experiment, without the deleted ones."""
        for place in _folders(self._places[experiment.experiment_id] / "models"):
            if not (place / "meta.yaml").is_file():
                continue
            meta = _meta(place)
            if meta.get("lifecycle_stage") != "deleted":
                yield _logged_model(experiment.experiment_id, place, meta)

    def model_files(self, model: LoggedModel) -> Iterable[File]:
        """Files of a logged model."""
        return files_below(self._model_folder(model))

    def fetch_model_file(self, model: LoggedModel, file: File, target: Path) -> None:
        """Write the bytes of a logged model's file to a file."""
        copy(self._model_folder(model), file, target)

    def models(self) -> Iterable[Model]:
        """All registered models."""
        for place in _folders(self._root / "models"):
            if not (place / "meta.yaml").is_file():
                continue
            meta = _meta(place)
            versions = [
                _version(one)
                for one in _folders(place)
                if one.name.startswith("version-") and (one / "meta.yaml").is_file()
            ]
            aliases = {key: int(value) for key, value in _values(place / "aliases").items()}
            yield Model(
                text(meta, "name") or place.name,
                text(meta, "description"),
                _values(place / "tags"),
                aliases,
                tuple(
                    sorted(
                        # A deleted version stays as a folder of that stage.
                        (one for one in versions if one.stage != "Deleted_Internal"),
                        key=lambda version: version.version,
                    )
                ),
            )

    def _place(self, run: Run) -> Path:
        return self._places[run.experiment_id] / run.run_id

    def _artifacts(self, run: Run) -> Path:
        """Where a run's files are: below it, or wherever its meta.yaml says on this machine."""
        inside = self._place(run) / "artifacts"
        if inside.is_dir():
            return inside
        uri = text(_meta(self._place(run)), "artifact_uri")
        return self._local.folder(uri) if urlparse(uri).scheme in ("", "file") else inside

    def _model_folder(self, model: LoggedModel) -> Path:
        inside = self._places[model.experiment_id] / "models" / model.model_id / "artifacts"
        return inside if inside.is_dir() else self._local.folder(model.place)

    def _datasets(self, place: Path) -> tuple[Mapping[str, object], ...]:
        found: list[Mapping[str, object]] = []
        for one in _folders(place / "inputs"):
            link = _meta(one)
            known = place.parent / "datasets" / text(link, "source_id")
            if not (known / "meta.yaml").is_file():
                continue
            dataset = {key: value for key, value in _meta(known).items() if value is not None}
            tags = cast("Mapping[str, object]", link.get("tags") or {})
            found.append(
                {
                    "dataset": dataset,
                    "tags": [{"key": key, "value": str(value)} for key, value in tags.items()],
                }
            )
        return tuple(found)


def _run(experiment_id: str, place: Path, datasets: tuple[Mapping[str, object], ...]) -> Run:
    meta = _meta(place)
    tags = _values(place / "tags")
    status = meta.get("status")
    metrics = place / "metrics"
    return Run(
        run_id=text(meta, "run_id") or place.name,
        experiment_id=experiment_id,
        name=text(meta, "run_name") or tags.get("mlflow.runName", ""),
        status=_STATUSES.get(status, "RUNNING") if isinstance(status, int) else str(status),
        start_ms=whole(meta, "start_time"),
        end_ms=whole(meta, "end_time"),
        deleted=meta.get("lifecycle_stage") == "deleted",
        params=_values(place / "params"),
        tags=tags,
        metrics={
            path.relative_to(metrics).as_posix(): json.dumps(path.stat().st_size)
            for path in sorted(metrics.rglob("*"))
            if path.is_file()
        },
        datasets=datasets,
        used=tuple(one for one, _ in _links(place / "inputs", "MODEL", "MODEL_INPUT")),
        made=_links(place / "outputs", "RUN_OUTPUT"),
    )


def _links(root: Path, *kinds: str) -> tuple[tuple[str, int], ...]:
    """Logged models that a run is linked to, with steps."""
    found = [_meta(place) for place in _folders(root) if (place / "meta.yaml").is_file()]
    return tuple(
        (text(one, "destination_id"), whole(one, "step"))
        for one in found
        if one.get("source_type") in kinds
    )


def _logged_model(experiment_id: str, place: Path, meta: Json) -> LoggedModel:
    measures = [
        Measure(
            path.relative_to(place / "metrics").as_posix(),
            float(words[1]),
            int(words[0]),
            int(words[2]),
            words[3],
            # A dataset's name is all between, for it may have spaces.
            " ".join(words[4:-1]),
            words[-1] if len(words) > 5 else "",
        )
        for path in sorted((place / "metrics").rglob("*"))
        if path.is_file()
        for line in path.read_text().splitlines()
        if len(words := line.split()) >= 4
    ]
    return LoggedModel(
        model_id=text(meta, "model_id") or place.name,
        experiment_id=experiment_id,
        name=text(meta, "name"),
        model_type=text(meta, "model_type"),
        run_id=text(meta, "source_run_id"),
        status=MODEL_STATUSES.get(str(meta.get("status")), "PENDING"),
        params=_values(place / "params"),
        tags=_values(place / "tags"),
        measures=tuple(measures),
        place=text(meta, "artifact_location"),
    )


def _version(place: Path) -> Version:
    meta = _meta(place)
    return Version(
        whole(meta, "version"),
        text(meta, "source"),
        text(meta, "run_id"),
        text(meta, "description"),
        text(meta, "current_stage"),
        _values(place / "tags"),
    )


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _values(root: Path) -> dict[str, str]:
    """Texts of the files below a folder, by path."""
    if not root.is_dir():
        return {}
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _meta(place: Path) -> Json:
    try:
        found = yaml.safe_load((place / "meta.yaml").read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InvalidArgument(f"{place / 'meta.yaml'} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidArgument(f"{place / 'meta.yaml'} has no fields")
    return cast("Json", found)
