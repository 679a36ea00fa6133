"""From paths of MLflow's artifact proxy to artifacts of runs.

    EXPERIMENT/RUN/artifacts/PATH              PATH of the run
    EXPERIMENT/models/MODEL/artifacts/PATH     models/MODEL/PATH of the run that logged the model
    EXPERIMENT/PATH                            PATH of the project's holder

Every artifact of ours belongs to a run: so lineage, seals and the registry know it. What MLflow
keeps beside runs (models that no run logged, files of traces) belongs to one run of the project
that stands for that, its holder, which is made when it is first needed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists
from epochal_proto.v1.services import LoggedModelService, RunService

from epochal_gateway.doors.mlflow import experiments
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.projections import ProjectRow

MODELS: Final = "models"
ARTIFACTS: Final = "artifacts"
HOLDER_TAG: Final = "epochal.holder"
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """An artifact, or a folder of them: a run, and a path under it that may be empty."""

    run: str
    path: str


def model_folder(model_id: str) -> str:
    """Return the folder of a run that has the files of a model it logged."""
    return f"{MODELS}/{model_id}"


def holder_id(project: str) -> UUID:
    """Return the id of the run that holds a project's artifacts of no run."""
    return uuid5(NAMESPACE_URL, f"urn:epochal:holder:{project}")


class ArtifactPlaces:
    """Resolves paths; remembers which run logged a model, for that never changes."""

    def __init__(self) -> None:
        self._model_runs: OrderedDict[str, str] = OrderedDict()
        self._held: set[str] = set()

    async def resolve(self, session: Session, path: str, *, write: bool) -> Place:
        """Return the artifact that a path is.

        Raises:
            MlflowError: the path is none, or leads nowhere.
            EpochalError: the experiment or the run is not the caller's.
        """
        parts = _parts(path)
        experiment = await experiments.find(session, parts[0])
        rest = parts[1:]
        if len(rest) > 1 and rest[1] == ARTIFACTS and rest[0] != MODELS:
            run = await session.platform.runs.find(session.org, rest[0])
            if write:
                run = await session.platform.runs.writable(session.org, rest[0])
            if not run.startswith(f"{experiment.name}/"):
                raise no_such(f"Run with id={rest[0]} not found in experiment {parts[0]}")
            return Place(run, "/".join(rest[2:]))
        if len(rest) > 2 and (rest[0], rest[2]) == (MODELS, ARTIFACTS):
            run = await self._model_run(session, experiment, rest[1])
            path = "/".join([model_folder(rest[1]), *rest[3:]])
            if run:
                return Place(run, path)
            return Place(await self._holder(session, experiment, write=write), path)
        return Place(await self._holder(session, experiment, write=write), "/".join(rest))

    async def _model_run(self, session: Session, experiment: ProjectRow, model_id: str) -> str:
        name = f"{experiment.name}/loggedModels/{model_id}"
        known = self._model_runs.get(name)
        if known is None:
            request = pb.GetLoggedModelRequest(name=name)
            model = await session.call(LoggedModelService.GET_LOGGED_MODEL, request)
            known = self._model_runs[name] = model.run
            if len(self._model_runs) > _KEPT:
                self._model_runs.popitem(last=False)
        return known

    async def _holder(self, session: Session, experiment: ProjectRow, *, write: bool) -> str:
        uid = holder_id(experiment.name)
        name = f"{experiment.name}/runs/{uid}"
        if write and name not in self._held:
            request = pb.CreateRunRequest(
                parent=experiment.name,
                run_id=str(uid),
                display_name="artifacts of no run",
                tracked=pb.TrackedRun(),
                tags={HOLDER_TAG: ARTIFACTS},
            )
            try:
                await session.call(RunService.CREATE_RUN, request)
                done = pb.FinishRunRequest(name=name, status=pb.RUN_STATUS_SUCCEEDED, force=True)
                await session.call(RunService.FINISH_RUN, done)
            except AlreadyExists:
                pass  # made before
            self._held.add(name)
        return name


def _parts(path: str) -> list[str]:
    parts = path.strip("/").split("/")
    if not parts[0] or any(part in ("", ".", "..") for part in parts) or "\\" in path:
        raise MlflowError(f"Invalid path: {path[:300]}")
    return parts
