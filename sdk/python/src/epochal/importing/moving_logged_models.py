"""Moving logged models in: under their own ids, with what is known of them and their files."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import epochal_proto.v1 as pb
from epochal_proto.v1.services import LoggedModelService

from epochal.client import Client
from epochal.errors import NotFound
from epochal.importing.moved import Summary
from epochal.importing.records import Experiment, LoggedModel, Measure, Run, Store
from epochal.importing.server import Api, Json

#: What registering notes in a logged model: it is noted again when its versions are moved.
_REGISTERED: Final = "mlflow.modelVersions"
_STATUSES: Final = {
    "READY": pb.LOGGED_MODEL_STATUS_READY,
    "FAILED": pb.LOGGED_MODEL_STATUS_FAILED,
}
_MEASURES: Final = 1_000


class LoggedModelMover:
    """Moves the logged models of one experiment after the other."""

    def __init__(
        self, store: Store, client: Client, door: Api, runs: Mapping[str, str], summary: Summary
    ) -> None:
        """Takes where from and where to.

        Args:
            store: where from.
            client: of the platform.
            door: its MLflow door.
            runs: names here of runs that were moved, by the source's id.
            summary: counts what is moved.
        """
        self._store = store
        self._client = client
        self._door = door
        self._runs = runs
        self._summary = summary
        #: Names here of logged models, by id.
        self.here: dict[str, str] = {}

    def move(self, experiment: Experiment, project: str, number: str) -> None:
        """Moves the logged models of an experiment that are not here, and what was added to others.

        Args:
            experiment: of the source.
            project: it is here.
            number: of the project.
        """
        for model in self._store.logged_models(experiment):
            name = f"{project}/loggedModels/{model.model_id}"
            known = self._known(name) or self._begin(model, project)
            self.here[model.model_id] = name
            self._add(model, known)
            self._files(model, number)
            status = _STATUSES.get(model.status)
            if status is not None and known.status != status:
                request = pb.FinalizeLoggedModelRequest(name=name, status=status)
                self._client.call(LoggedModelService.FINALIZE_LOGGED_MODEL, request)

    def link(self, run: Run) -> None:
        """Says which logged models a run has read and made, as far as they are here."""
        used = [self.here[one] for one in run.used if one in self.here]
        made = {self.here[one]: step for one, step in run.made if one in self.here}
        name = self._runs.get(run.run_id)
        if name is None or not (used or made):
            return
        known = self._client.call(
            LoggedModelService.LIST_LINKED_MODELS, pb.ListLinkedModelsRequest(run=name)
        )
        produced = {one.logged_model for one in known.produced}
        request = pb.LinkLoggedModelsRequest(
            run=name,
            used=[one for one in used if one not in known.used],
            produced=[
                pb.ProducedModel(logged_model=one, step=step)
                for one, step in made.items()
                if one not in produced
            ],
        )
        if request.used or request.produced:
            self._client.call(LoggedModelService.LINK_LOGGED_MODELS, request)

    def _known(self, name: str) -> pb.LoggedModel | None:
        try:
            return self._client.call(
                LoggedModelService.GET_LOGGED_MODEL, pb.GetLoggedModelRequest(name=name)
            )
        except NotFound:
            return None

    def _begin(self, model: LoggedModel, project: str) -> pb.LoggedModel:
        self._summary.logged_models += 1
        return self._client.call(
            LoggedModelService.CREATE_LOGGED_MODEL,
            pb.CreateLoggedModelRequest(
                parent=project,
                logged_model_id=model.model_id,
                display_name=model.name[:500],
                model_type=model.model_type[:500],
                run=self._runs.get(model.run_id, ""),
                params=model.params,
                tags=_tags(model),
            ),
        )

    def _add(self, model: LoggedModel, known: pb.LoggedModel) -> None:
        params = {key: value for key, value in model.params.items() if key not in known.params}
        if params:
            request = pb.AddLoggedModelParamsRequest(name=known.name, params=params)
            self._client.call(LoggedModelService.ADD_LOGGED_MODEL_PARAMS, request)
        tags = {key: value for key, value in _tags(model).items() if known.tags.get(key) != value}
        if tags:
            request_tags = pb.TagLoggedModelRequest(name=known.name, tags=tags)
            self._client.call(LoggedModelService.TAG_LOGGED_MODEL, request_tags)
        here = {_key(one) for one in known.metrics}
        told = [self._measure(one) for one in _newest(model.measures)]
        new = [one for one in told if _key(one) not in here]
        for start in range(0, len(new), _MEASURES):
            some = pb.MeasureLoggedModelRequest(
                name=known.name, metrics=new[start : start + _MEASURES]
            )
            self._client.call(LoggedModelService.MEASURE_LOGGED_MODEL, some)

    def _measure(self, one: Measure) -> pb.LoggedModelMetric:
        return pb.LoggedModelMetric(
            metric=one.metric[:250],
            value=one.value,
            time_us=one.time_ms * 1_000,
            step=one.step,
            run=self._runs.get(one.run_id, ""),
            dataset_name=one.dataset_name[:500],
            dataset_digest=one.dataset_digest[:100],
        )

    def _files(self, model: LoggedModel, number: str) -> None:
        root = f"{number}/models/{model.model_id}/artifacts"
        here = self._listed(root)
        with tempfile.TemporaryDirectory(prefix="epochal-import-") as folder:
            target = Path(folder) / "file"
            for file in self._store.model_files(model):
                if here.get(file.path) == file.size_bytes:
                    continue
                self._store.fetch_model_file(model, file, target)
                path = quote(f"{root}/{file.path}")
                with target.open("rb") as content:
                    self._door.at(
                        "PUT", f"api/2.0/mlflow-artifacts/artifacts/{path}", content=content
                    )
                self._summary.files += 1
                self._summary.bytes += file.size_bytes

    def _listed(self, root: str) -> dict[str, int]:
        """Sizes of what is below a folder of the artifact proxy, by path."""
        found: dict[str, int] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            answer = self._door.at(
                "GET",
                "api/2.0/mlflow-artifacts/artifacts",
                params={"path": f"{root}/{folder}".rstrip("/")},
            )
            for one in _items(answer):
                path = f"{folder}/{one['path']}".lstrip("/")
                if one.get("is_dir"):
                    folders.append(path)
                else:
                    found[path] = int(str(one.get("file_size") or 0))
        return found


def _items(answer: Json) -> list[Json]:
    files = answer.get("files")
    return files if isinstance(files, list) else []


def _tags(model: LoggedModel) -> dict[str, str]:
    return {key: value for key, value in model.tags.items() if key != _REGISTERED}


def _newest(measures: tuple[Measure, ...]) -> list[Measure]:
    """The newest by metric, run and dataset: what is kept."""
    found: dict[tuple[str, str, str, str], Measure] = {}
    for one in sorted(measures, key=lambda one: (one.step, one.time_ms)):
        found[one.metric, one.run_id, one.dataset_name, one.dataset_digest] = one
    return list(found.values())


def _key(one: pb.LoggedModelMetric) -> tuple[object, ...]:
    value = "nan" if math.isnan(one.value) else one.value
    of = (one.metric, one.run, one.dataset_name, one.dataset_digest)
    return (*of, one.time_us, one.step, value)
