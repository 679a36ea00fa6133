"""Reading MLflow's file store: a folder `mlruns` of meta.yaml files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlparse

import yaml

from epochal.errors import InvalidArgument, NotFound
from epochal.importing.records import Experiment, File, Model, Point, Run, Version
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
        root = self._artifacts(run)
        for path in sorted(root.rglob("*")) if root.is_dir() else ():
            if path.is_file():
                yield File(path.relative_to(root).as_posix(), path.stat().st_size)

    def fetch(self, run: Run, file: File, target: Path) -> None:
        """Write an artifact's bytes to a file."""
        shutil.copyfile(self._artifacts(run) / file.path, target)

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
        uri = urlparse(text(_meta(self._place(run)), "artifact_uri"))
        return Path(unquote(uri.path)) if uri.scheme in ("", "file") else inside

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
