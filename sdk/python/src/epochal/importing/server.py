"""Reading an MLflow tracking server by its REST API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, cast

import httpx

from epochal.errors import EpochalError, InvalidArgument, NotFound, PermissionDenied, Unavailable
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

_API: Final = "api/2.0/mlflow"
_PAGE: Final = 1_000
_HISTORY: Final = 25_000
_MODELS: Final = 100
_ANSWER_S: Final = 60.0

Json = Mapping[str, object]


class Api:
    """MLflow's REST API at an address; also our own door's."""

    def __init__(self, url: str, token: str = "") -> None:
        """Connects at the first call; a user and password may be in the URL."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.HTTPTransport(retries=3)
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/", headers=headers, timeout=_ANSWER_S, transport=transport
        )

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def call(self, verb: str, path: str, /, **more: object) -> Json:
        """Makes a call below /api/2.0/mlflow/.

        Raises:
            EpochalError: It is refused, or there is no answer.
        """
        return self.at(verb, f"{_API}/{path}", **more)

    def at(self, verb: str, path: str, /, **more: object) -> Json:
        """Makes a call; `params`, `json` and `content` as httpx has them.

        Raises:
            EpochalError: It is refused, or there is no answer.
        """
        try:
            answer = self._client.request(verb, path, **more)  # type: ignore[arg-type]  # as documented
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._client.base_url} does not answer: {error}") from error
        if answer.status_code != 200:
            raise _refusal(answer)
        try:
            found = answer.json()
        except ValueError:
            raise InvalidArgument(
                f"{self._client.base_url} is no MLflow server: {path} answered no JSON"
            ) from None
        return cast("Json", found)

    def pages(self, verb: str, path: str, items: str, /, **asked: object) -> Iterator[Json]:
        """Reads a list to its end."""
        token = ""
        while True:
            fields = {**asked, "page_token": token} if token else asked
            answer = self.call(verb, path, **{"json" if verb == "POST" else "params": fields})
            yield from cast("list[Json]", answer.get(items, []))
            token = str(answer.get("next_page_token") or "")
            if not token:
                return

    def download(self, path: str, params: Mapping[str, str], target: Path) -> None:
        """Writes what a path answers to a file.

        Raises:
            EpochalError: It is refused, or breaks off.
        """
        try:
            with (
                self._client.stream("GET", path, params=dict(params)) as answer,
                target.open("wb") as file,
            ):
                if answer.status_code != 200:
                    answer.read()
                    raise _refusal(answer)
                for part in answer.iter_bytes():
                    file.write(part)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._client.base_url} broke off: {error}") from error


class Server:
    """A store behind a tracking server."""

    def __init__(self, url: str, token: str = "") -> None:
        self._api = Api(url, token)

    def close(self) -> None:
        """Closes its connections."""
        self._api.close()

    def experiments(self) -> Iterable[Experiment]:
        """All experiments, the deleted ones too."""
        asked = {"max_results": _PAGE, "view_type": "ALL"}
        for one in self._api.pages("POST", "experiments/search", "experiments", **asked):
            yield Experiment(
                text(one, "experiment_id"),
                text(one, "name"),
                one.get("lifecycle_stage") == "deleted",
                pairs(one.get("tags")),
            )

    def runs(self, experiment: Experiment) -> Iterable[Run]:
        """All runs of an experiment, the oldest first."""
        asked = {
            "experiment_ids": [experiment.experiment_id],
            "run_view_type": "ALL",
            "max_results": _PAGE,
            "order_by": ["attributes.start_time ASC"],
        }
        with_models = any(True for _ in self.logged_models(experiment))
        for one in self._api.pages("POST", "runs/search", "runs", **asked):
            info, data = part(one, "info"), part(one, "data")
            used = self._used(text(info, "run_id")) if with_models else ()
            metrics = cast("list[Json]", data.get("metrics", []))
            inputs = cast("list[Json]", part(one, "inputs").get("dataset_inputs", []))
            yield Run(
                run_id=text(info, "run_id"),
                experiment_id=experiment.experiment_id,
                name=text(info, "run_name"),
                status=text(info, "status"),
                start_ms=whole(info, "start_time"),
                end_ms=whole(info, "end_time"),
                deleted=info.get("lifecycle_stage") == "deleted",
                params=pairs(data.get("params")),
                tags=pairs(data.get("tags")),
                metrics={
                    text(each, "key"): json.dumps(
                        [each.get("step"), each.get("timestamp"), each.get("value")]
                    )
                    for each in metrics
                },
                datasets=tuple(inputs),
                used=used,
                made=tuple(
                    (text(each, "model_id"), whole(each, "step"))
                    for each in cast("list[Json]", part(one, "outputs").get("model_outputs", []))
                ),
            )

    def _used(self, run_id: str) -> tuple[str, ...]:
        """Logged models that a run has read: MLflow's search does not say it."""
        run = part(self._api.call("GET", "runs/get", params={"run_id": run_id}), "run")
        found = cast("list[Json]", part(run, "inputs").get("model_inputs", []))
        return tuple(text(one, "model_id") for one in found)

    def history(self, run: Run, metric: str) -> Iterator[Point]:
        """Points of a metric."""
        asked = {"run_id": run.run_id, "metric_key": metric, "max_results": _HISTORY}
        for one in self._api.pages("GET", "metrics/get-history", "metrics", **asked):
            yield Point(
                float(str(one.get("value", 0))), whole(one, "timestamp"), whole(one, "step")
            )

    def files(self, run: Run) -> Iterable[File]:
        """Artifacts of a run."""
        folders = [""]
        while folders:
            asked = {"run_id": run.run_id, "path": folders.pop()}
            for one in self._api.pages("GET", "artifacts/list", "files", **asked):
                if one.get("is_dir"):
                    folders.append(text(one, "path"))
                else:
                    yield File(text(one, "path"), whole(one, "file_size"))

    def fetch(self, run: Run, file: File, target: Path) -> None:
        """Write an artifact's bytes to a file."""
        self._api.download("get-artifact", {"path": file.path, "run_uuid": run.run_id}, target)

    def logged_models(self, experiment: Experiment) -> Iterable[LoggedModel]:
        """All logged models of an experiment; servers before MLflow 3 have none."""
        asked = {"experiment_ids": [experiment.experiment_id], "max_results": _MODELS}
        try:
            for one in self._api.pages("POST", "logged-models/search", "models", **asked):
                yield _logged_model(experiment.experiment_id, part(one, "info"), part(one, "data"))
        except NotFound:
            return

    def model_files(self, model: LoggedModel) -> Iterable[File]:
        """Files of a logged model."""
        path = f"logged-models/{model.model_id}/artifacts/directories"
        folders = [""]
        while folders:
            folder = folders.pop()
            asked = {"artifact_directory_path": folder} if folder else {}
            for one in self._api.pages("GET", path, "files", **asked):
                if one.get("is_dir"):
                    folders.append(text(one, "path"))
                else:
                    yield File(text(one, "path"), whole(one, "file_size"))

    def fetch_model_file(self, model: LoggedModel, file: File, target: Path) -> None:
        """Write the bytes of a logged model's file to a file."""
        path = f"ajax-api/2.0/mlflow/logged-models/{model.model_id}/artifacts/files"
        self._api.download(path, {"artifact_file_path": file.path}, target)

    def models(self) -> Iterable[Model]:
        """All registered models."""
        found = self._api.pages(
            "GET", "registered-models/search", "registered_models", max_results=100
        )
        for one in found:
            name = text(one, "name")
            quoted = name.replace("'", "''")
            versions = self._api.pages(
                "GET", "model-versions/search", "model_versions",
                filter=f"name='{quoted}'", max_results=_PAGE,
            )  # fmt: skip
            aliases = cast("list[Json]", one.get("aliases", []))
            yield Model(
                name,
                text(one, "description"),
                pairs(one.get("tags")),
                {text(each, "alias"): whole(each, "version") for each in aliases},
                tuple(sorted((_version(each) for each in versions), key=lambda v: v.version)),
            )


def _logged_model(experiment_id: str, info: Json, data: Json) -> LoggedModel:
    return LoggedModel(
        model_id=text(info, "model_id"),
        experiment_id=experiment_id,
        name=text(info, "name"),
        model_type=text(info, "model_type"),
        run_id=text(info, "source_run_id"),
        status=MODEL_STATUSES.get(text(info, "status"), "PENDING"),
        params=pairs(data.get("params")),
        tags=pairs(info.get("tags")),
        measures=tuple(
            Measure(
                text(one, "key"),
                float(str(one.get("value", 0))),
                whole(one, "timestamp"),
                whole(one, "step"),
                text(one, "run_id"),
                text(one, "dataset_name"),
                text(one, "dataset_digest"),
            )
            for one in cast("list[Json]", data.get("metrics", []))
        ),
    )


def _version(one: Json) -> Version:
    return Version(
        whole(one, "version"),
        text(one, "source"),
        text(one, "run_id"),
        text(one, "description"),
        text(one, "current_stage"),
        pairs(one.get("tags")),
    )


def text(values: Json, name: str) -> str:
    """A field as text; a missing one is empty."""
    return str(values.get(name) or "")


def whole(values: Json, name: str) -> int:
    """A field as a whole number; a missing one is 0."""
    return int(str(values.get(name) or 0))


def part(values: Json, name: str) -> Json:
    """An object within another; a missing one is empty."""
    return cast("Json", values.get(name) or {})


def pairs(values: object) -> dict[str, str]:
    """Keys and values as MLflow lists them."""
    return {text(one, "key"): text(one, "value") for one in cast("list[Json]", values or [])}


def _refusal(answer: httpx.Response) -> EpochalError:
    try:
        told = cast("Json", answer.json())
        code, words = text(told, "error_code"), text(told, "message")
    except ValueError:
        code, words = "", answer.text[:300]
    message = f"{answer.request.url}: HTTP {answer.status_code} {code} {words}".strip()
    kinds: dict[int, type[EpochalError]] = {
        401: PermissionDenied, 403: PermissionDenied, 404: NotFound, 429: Unavailable,
    }  # fmt: skip
    default = InvalidArgument if answer.status_code < 500 else Unavailable
    return kinds.get(answer.status_code, default)(message)
