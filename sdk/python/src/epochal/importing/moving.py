"""Moving an MLflow store in: each thing once, however often it is begun.

Runs keep their ids; what has no UUID gets one that follows from its old id. A run is marked when
all of it is here (tag `epochal.import`), so that a second time it is passed over; one that broke
off goes on where it was: points are skipped by how many of a metric are here, files by path and
size. The mark follows from what the source says of the run, so one that has grown is moved on.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ProjectService, RunService, TrackingService
from google.protobuf.timestamp_pb2 import Timestamp

from epochal.client import Client
from epochal.errors import AlreadyExists, InvalidArgument, NotFound
from epochal.importing.moved import NAMESPACE, Summary, run_uuid, sizes
from epochal.importing.moving_logged_models import LoggedModelMover
from epochal.importing.moving_registry import RegistryMover
from epochal.importing.records import Experiment, Point, Run, Store
from epochal.importing.server import Api, part, text

MARK: Final = "epochal.import"
_POINTS: Final = 10_000
_ENDS: Final = {
    "FINISHED": pb.RUN_STATUS_SUCCEEDED,
    "FAILED": pb.RUN_STATUS_FAILED,
    "KILLED": pb.RUN_STATUS_STOPPED,
}
_PARENT: Final = "mlflow.parentRunId"


class Mover:
    """Moves a store into the organisation of a client's token."""

    def __init__(self, store: Store, client: Client, org: str, told: Callable[[str], None]) -> None:
        """Takes where from, where to, and who is told of each step."""
        self._store = store
        self._client = client
        self._org = org
        self._told = told
        connection = client.connection
        self._door = Api(connection.url, connection.token)
        self._projects: dict[str, str] = {}
        self._here: dict[str, str] = {}
        self.summary = Summary()
        self._logged = LoggedModelMover(store, client, self._door, self._here, self.summary)

    def close(self) -> None:
        """Closes the store, and its own connections."""
        self._store.close()
        self._door.close()

    def count(self) -> Summary:
        """Counts what there is to move, and moves nothing."""
        for experiment in self._store.experiments():
            self.summary.experiments += 1
            self.summary.runs += sum(1 for _ in self._store.runs(experiment))
            self.summary.logged_models += sum(1 for _ in self._store.logged_models(experiment))
        for model in self._store.models():
            self.summary.models += 1
            self.summary.versions += len(model.versions)
        return self.summary

    def move(self) -> Summary:
        """Moves everything.

        Raises:
            EpochalError: The source or the platform refuses or breaks off; what is here stays, and
                the next try goes on.
        """
        for experiment in self._store.experiments():
            self._experiment(experiment)
        registry = RegistryMover(self._door, self._here, self._logged.here, self.summary)
        for model in self._store.models():
            self._told(f"model {model.name}")
            registry.move(model)
        return self.summary

    def _experiment(self, experiment: Experiment) -> None:
        self._told(f"experiment {experiment.name}")
        runs = list(self._store.runs(experiment))
        number, project, archived = self._project(experiment)
        if archived and experiment.deleted:
            self.summary.passed += len(runs)
            return
        for key, value in experiment.tags.items():
            tag = {"experiment_id": number, "key": key, "value": value}
            self._door.call("POST", "experiments/set-experiment-tag", json=tag)
        # Children name their parents, which are made first: they began earlier.
        for run in runs:
            self._run(run, project, number)
        self._told(f"logged models of {experiment.name}")
        self._logged.move(experiment, project, number)
        for run in runs:
            self._logged.link(run)
        if experiment.deleted:
            self._door.call("POST", "experiments/delete", json={"experiment_id": number})
        self.summary.experiments += 1

    def _project(self, experiment: Experiment) -> tuple[str, str, bool]:
        """Number and name of an experiment's project, which is made if need be."""
        params = {"experiment_name": experiment.name}
        try:
            found = part(
                self._door.call("GET", "experiments/get-by-name", params=params), "experiment"
            )
        except NotFound:
            found = self._door.call("POST", "experiments/create", json={"name": experiment.name})
        else:
            archived = found.get("lifecycle_stage") == "deleted"
            if archived and not experiment.deleted:
                found = self._door.call(
                    "POST", "experiments/create", json={"name": experiment.name}
                )
            elif archived:
                return text(found, "experiment_id"), "", True
        number = text(found, "experiment_id")
        if number not in self._projects:
            self._learn()
        return number, self._projects[number], False

    def _learn(self) -> None:
        request = pb.ListProjectsRequest(parent=self._org, page_size=1_000)
        while True:
            answer = self._client.call(ProjectService.LIST_PROJECTS, request)
            for project in answer.projects:
                main = project.name.endswith("/projects/main")
                self._projects["0" if main else str(project.number)] = project.name
            request.page_token = answer.next_page_token
            if not request.page_token:
                return

    def _run(self, run: Run, project: str, number: str) -> None:
        uid = run_uuid(run.run_id)
        name = f"{project}/runs/{uid}"
        self._here[run.run_id] = name
        mark = _mark(run)
        known = self._known(name)
        if known is not None and known.tags.get(MARK) == mark:
            self.summary.passed += 1
            return
        self._told(f"run {run.name or run.run_id}")
        if known is None:
            known = self._begin(run, project, uid)
        elif known.HasField("delete_time"):
            self.summary.passed += 1
            return
        self._points(run, name, {one: known.metrics[one].points for one in known.metrics})
        if run.datasets:
            inputs = {"run_id": uid.hex, "datasets": list(run.datasets)}
            self._door.call("POST", "runs/log-inputs", json=inputs)
        self._files(run, name, number, uid)
        tags = {**_tags(run), MARK: mark}
        empty = [key for key, value in tags.items() if not value]
        request_tags = {key: value for key, value in tags.items() if value}
        self._client.call(
            TrackingService.SET_TAGS,
            pb.SetTagsRequest(run=name, tags=request_tags, emptied=empty),
        )
        if run.status in _ENDS and not known.HasField("end_time"):
            request = pb.FinishRunRequest(name=name, status=_ENDS[run.status], force=True)
            if run.end_ms:
                request.end_time.CopyFrom(_time(run.end_ms))
            self._client.call(RunService.FINISH_RUN, request)
        if run.deleted:
            self._client.call(RunService.DELETE_RUN, pb.DeleteRunRequest(name=name))
        self.summary.runs += 1

    def _known(self, name: str) -> pb.Run | None:
        try:
            return self._client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
        except NotFound:
            return None

    def _begin(self, run: Run, project: str, uid: UUID) -> pb.Run:
        tracked = pb.TrackedRun(start_time=_time(run.start_ms) if run.start_ms else None)
        request = pb.CreateRunRequest(
            parent=project,
            tracked=tracked,
            display_name=run.name[:250],
            params={key: pb.Value(string_value=value) for key, value in run.params.items()},
            tags=_tags(run),
            run_id=str(uid),
        )
        try:
            return self._client.call(RunService.CREATE_RUN, request)
        except (AlreadyExists, NotFound) as error:
            # Where it is is not told to those who may not look there.
            raise InvalidArgument(
                f"run {run.run_id} cannot be made in {project}: a run of that id is on the "
                f"platform already, elsewhere, and ids are kept ({error})"
            ) from error

    def _points(self, run: Run, name: str, here: dict[str, int]) -> None:
        batch: list[pb.MetricPoint] = []
        for metric in run.metrics:
            left = here.get(metric, 0)
            for point in _once(self._store.history(run, metric)):
                if left:
                    left -= 1
                    continue
                batch.append(
                    pb.MetricPoint(
                        metric=metric,
                        step=point.step,
                        time_us=point.time_ms * 1_000,
                        value=point.value,
                    )
                )
                if len(batch) == _POINTS:
                    self._send(name, batch)
                    batch = []
        if batch:
            self._send(name, batch)

    def _send(self, name: str, points: list[pb.MetricPoint]) -> None:
        request = pb.LogMetricsRequest(run=name, points=points)
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        request.request_id = str(uuid5(NAMESPACE, digest))
        self._client.call(TrackingService.LOG_METRICS, request)
        self.summary.points += len(points)

    def _files(self, run: Run, name: str, number: str, uid: UUID) -> None:
        here = sizes(self._client, name)
        with tempfile.TemporaryDirectory(prefix="epochal-import-") as folder:
            target = Path(folder) / "file"
            for file in self._store.files(run):
                if here.get(file.path) == file.size_bytes:
                    continue
                self._store.fetch(run, file, target)
                path = quote(f"{number}/{uid.hex}/artifacts/{file.path}")
                with target.open("rb") as content:
                    self._door.at(
                        "PUT", f"api/2.0/mlflow-artifacts/artifacts/{path}", content=content
                    )
                self.summary.files += 1
                self.summary.bytes += file.size_bytes


def _tags(run: Run) -> dict[str, str]:
    tags = dict(run.tags)
    if not tags.get(_PARENT, "x"):
        del tags[_PARENT]
    if _PARENT in tags:
        tags[_PARENT] = run_uuid(tags[_PARENT]).hex
    if run.name:
        tags["mlflow.runName"] = run.name
    return tags


def _mark(run: Run) -> str:
    content = json.dumps(asdict(run), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _once(points: Iterable[Point]) -> Iterable[Point]:
    """Points without those that are there twice, which would be written once."""
    seen: set[tuple[int, int, str]] = set()
    for point in points:
        key = (point.step, point.time_ms, repr(point.value))
        if key not in seen:
            seen.add(key)
            yield point


def _time(milliseconds: int) -> Timestamp:
    time = Timestamp()
    time.FromMilliseconds(milliseconds)
    return time
