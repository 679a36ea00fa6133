"""Reading the SQLite database of an MLflow store, without a server.

The tables are those of mlflow/store/tracking/dbmodels and mlflow/store/model_registry/dbmodels;
what an older release had not is not looked for. The database is opened for reading only.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

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

SCHEME: Final = "sqlite:///"
_GONE: Final = "Deleted_Internal"
#: MLflow stores the infinities as the greatest floats.
_GREATEST: Final = 1.7976931348623157e308

Row = sqlite3.Row
Pairs = dict[str, dict[str, str]]


class Database:
    """A store in an SQLite database."""

    def __init__(self, uri: str, artifacts: Path | None = None) -> None:
        """Opens it.

        Args:
            uri: "sqlite:///mlflow.db", relative to the working folder, or
                "sqlite:////data/mlflow.db".
            artifacts: where the server of the store kept artifacts that went through it;
                `mlartifacts` beside the database when it is there.

        Raises:
            NotFound: There is no such file.
            InvalidArgument: It is no database of MLflow's.
        """
        path = Path(uri.removeprefix(SCHEME))
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
        beside = path.parent / "mlartifacts"
        if artifacts is None and beside.is_dir():
            artifacts = beside
        self._local = LocalFiles(path.parent, artifacts)
        self._database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        self._database.row_factory = sqlite3.Row
        try:
            rows = self._all("SELECT name FROM sqlite_master WHERE type = 'table'")
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise InvalidArgument(f"{path} is no SQLite database: {error}") from error
        self._tables = {row["name"] for row in rows}
        if not {"experiments", "runs", "metrics"} <= self._tables:
            self._database.close()
            raise InvalidArgument(f"{path} is no MLflow store: it has no tables of that name")
        self._places: dict[str, str] = {}

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def experiments(self) -> Iterable[Experiment]:
        """All experiments, the deleted ones too."""
        tags = self._pairs(
            "SELECT experiment_id, key, value FROM experiment_tags", "experiment_tags"
        )
        statement = "SELECT experiment_id, name, lifecycle_stage FROM experiments ORDER BY 1"
        for row in self._all(statement):
            identity = str(row["experiment_id"])
            deleted = row["lifecycle_stage"] == "deleted"
            yield Experiment(identity, row["name"], deleted, tags.get(identity, {}))

    def runs(self, experiment: Experiment) -> Iterable[Run]:
        """All runs of an experiment, the oldest first."""
        wanted = experiment.experiment_id
        params = self._pairs(
            "SELECT run_uuid, key, value FROM params JOIN runs USING (run_uuid) "
            "WHERE experiment_id = ?",
            "params",
            wanted,
        )
        tags = self._pairs(
            "SELECT run_uuid, key, value FROM tags JOIN runs USING (run_uuid) "
            "WHERE experiment_id = ?",
            "tags",
            wanted,
        )
        grown = self._grown(wanted)
        datasets, used, made = self._datasets(wanted), self._used(wanted), self._made(wanted)
        for row in self._all(
            "SELECT run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri "
            "FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid",
            wanted,
        ):
            run_id = row["run_uuid"]
            self._places[run_id] = row["artifact_uri"] or ""
            yield Run(
                run_id=run_id,
                experiment_id=wanted,
                name=tags.get(run_id, {}).get("mlflow.runName", "") or row["name"] or "",
                status=row["status"] or "RUNNING",
                start_ms=row["start_time"] or 0,
                end_ms=row["end_time"] or 0,
                deleted=row["lifecycle_stage"] == "deleted",
                params=params.get(run_id, {}),
                tags=tags.get(run_id, {}),
                metrics=grown.get(run_id, {}),
                datasets=tuple(datasets.get(run_id, ())),
                used=tuple(used.get(run_id, ())),
                made=tuple(made.get(run_id, ())),
            )

    def history(self, run: Run, metric: str) -> Iterator[Point]:
        """Points of a metric, in the order they were written."""
        # Row by row: a history may be longer than memory is large.
        for row in self._database.execute(
            "SELECT value, is_nan, timestamp, step FROM metrics "
            "WHERE run_uuid = ? AND key = ? ORDER BY rowid",
            (run.run_id, metric),
        ):
            yield Point(_value(row), row["timestamp"], row["step"])

    def files(self, run: Run) -> Iterable[File]:
        """Artifacts of a run."""
        return files_below(self._local.folder(self._places[run.run_id]))

    def fetch(self, run: Run, file: File, target: Path) -> None:
        """Write an artifact's bytes to a file."""
        copy(self._local.folder(self._places[run.run_id]), file, target)

    def logged_models(self, experiment: Experiment) -> Iterable[LoggedModel]:
        """All logged models of an experiment, without the deleted ones."""
        if "logged_models" not in self._tables:
            return
        wanted = experiment.experiment_id
        params = self._pairs(
            "SELECT model_id, param_key, param_value FROM logged_model_params "
            "WHERE experiment_id = ?",
            "logged_model_params",
            wanted,
        )
        tags = self._pairs(
            "SELECT model_id, tag_key, tag_value FROM logged_model_tags WHERE experiment_id = ?",
            "logged_model_tags",
            wanted,
        )
        measures: dict[str, list[Measure]] = {}
        for row in self._all(
            "SELECT * FROM logged_model_metrics WHERE experiment_id = ? ORDER BY rowid", wanted
        ):
            measures.setdefault(row["model_id"], []).append(
                Measure(
                    row["metric_name"],
                    math.nan if row["metric_value"] is None else _unbounded(row["metric_value"]),
                    row["metric_timestamp_ms"],
                    row["metric_step"],
                    row["run_id"],
                    row["dataset_name"] or "",
                    row["dataset_digest"] or "",
                )
            )
        for row in self._all(
            "SELECT * FROM logged_models WHERE experiment_id = ? "
            "ORDER BY creation_timestamp_ms, model_id",
            wanted,
        ):
            model_id = row["model_id"]
            if row["lifecycle_stage"] == "deleted":
                continue
            yield LoggedModel(
                model_id=model_id,
                experiment_id=wanted,
                name=row["name"],
                model_type=row["model_type"] or "",
                run_id=row["source_run_id"] or "",
                status=MODEL_STATUSES.get(str(row["status"]), "PENDING"),
                params=params.get(model_id, {}),
                tags=tags.get(model_id, {}),
                measures=tuple(measures.get(model_id, ())),
                place=row["artifact_location"] or "",
            )

    def model_files(self, model: LoggedModel) -> Iterable[File]:
        """Files of a logged model."""
        return files_below(self._local.folder(model.place))

    def fetch_model_file(self, model: LoggedModel, file: File, target: Path) -> None:
        """Write the bytes of a logged model's file to a file."""
        copy(self._local.folder(model.place), file, target)

    def models(self) -> Iterable[Model]:
        """All registered models."""
        if "registered_models" not in self._tables:
            return
        tags = self._pairs(
            "SELECT name, key, value FROM registered_model_tags", "registered_model_tags"
        )
        aliases = self._pairs(
            "SELECT name, alias, version FROM registered_model_aliases", "registered_model_aliases"
        )
        of_versions = self._pairs(
            "SELECT name || '/' || version, key, value FROM model_version_tags",
            "model_version_tags",
        )
        versions: dict[str, list[Version]] = {}
        for row in self._all("SELECT * FROM model_versions ORDER BY name, version"):
            # A deleted version stays as a row of that stage.
            if row["current_stage"] != _GONE:
                found = of_versions.get(f"{row['name']}/{row['version']}", {})
                versions.setdefault(row["name"], []).append(_version(row, found))
        for row in self._all("SELECT name, description FROM registered_models ORDER BY name"):
            name = row["name"]
            yield Model(
                name,
                row["description"] or "",
                tags.get(name, {}),
                {alias: int(version) for alias, version in aliases.get(name, {}).items()},
                tuple(versions.get(name, ())),
            )

    def _grown(self, experiment_id: str) -> Pairs:
        """Names of histories by run, and what tells whether one has grown."""
        found: Pairs = {}
        for row in self._all(
            "SELECT l.run_uuid, l.key, l.step, l.timestamp, l.value FROM latest_metrics l "
            "JOIN runs USING (run_uuid) WHERE experiment_id = ? ORDER BY l.key",
            experiment_id,
        ):
            told = json.dumps([row["step"], row["timestamp"], row["value"]])
            found.setdefault(row["run_uuid"], {})[row["key"]] = told
        return found

    def _datasets(self, experiment_id: str) -> dict[str, list[Mapping[str, object]]]:
        """Datasets that runs have read, as MLflow's API has them."""
        found: dict[str, list[Mapping[str, object]]] = {}
        if "datasets" not in self._tables:
            return found
        tags = self._pairs("SELECT input_uuid, name, value FROM input_tags", "input_tags")
        for row in self._all(
            "SELECT i.input_uuid, i.destination_id, d.* FROM inputs i "
            "JOIN datasets d ON d.dataset_uuid = i.source_id "
            "WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND d.experiment_id = ?"
            " ORDER BY i.rowid",
            experiment_id,
        ):
            dataset = {
                "name": row["name"],
                "digest": row["digest"],
                "source_type": row["dataset_source_type"],
                "source": row["dataset_source"],
                "schema": row["dataset_schema"],
                "profile": row["dataset_profile"],
            }
            named = tags.get(row["input_uuid"], {})
            found.setdefault(row["destination_id"], []).append(
                {
                    "dataset": {key: value for key, value in dataset.items() if value is not None},
                    "tags": [{"key": key, "value": value} for key, value in named.items()],
                }
            )
        return found

    def _used(self, experiment_id: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for run_id, model_id, _ in self._links(experiment_id, "RUN_INPUT", "MODEL_INPUT"):
            found.setdefault(run_id, []).append(model_id)
        return found

    def _made(self, experiment_id: str) -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for run_id, model_id, step in self._links(experiment_id, "RUN_OUTPUT", "MODEL_OUTPUT"):
            found.setdefault(run_id, []).append((model_id, step))
        return found

    def _links(self, experiment_id: str, source: str, target: str) -> list[tuple[str, str, int]]:
        if "logged_models" not in self._tables:
            return []
        rows = self._all(
            "SELECT i.source_id, i.destination_id, i.step FROM inputs i "
            "JOIN runs r ON r.run_uuid = i.source_id "
            "WHERE r.experiment_id = ? AND i.source_type = ? AND i.destination_type = ? "
            "ORDER BY i.rowid",
            experiment_id,
            source,
            target,
        )
        return [(row["source_id"], row["destination_id"], row["step"]) for row in rows]

    def _pairs(self, statement: str, table: str, *values: str) -> Pairs:
        """Names and values by whose they are; nothing when there is no such table."""
        found: Pairs = {}
        if table in self._tables:
            for row in self._all(statement, *values):
                found.setdefault(str(row[0]), {})[row[1]] = "" if row[2] is None else str(row[2])
        return found

    def _all(self, statement: str, *values: str) -> list[Row]:
        return self._database.execute(statement, values).fetchall()


def _value(row: Row) -> float:
    return math.nan if row["is_nan"] else _unbounded(row["value"])


def _unbounded(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) >= _GREATEST else float(value)


def _version(row: Row, tags: Mapping[str, str]) -> Version:
    return Version(
        row["version"],
        row["source"] or "",
        row["run_id"] or "",
        row["description"] or "",
        row["current_stage"] or "",
        tags,
    )
