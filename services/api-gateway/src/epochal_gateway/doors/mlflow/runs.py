"""Runs: made, read, renamed, ended, taken up again, deleted, restored.

A run of MLflow's is a tracked run of ours: its process is the client's own. Runs that agents
execute are seen here too; what becomes of them is their agents' word, so that a script which runs
as a job and tells MLflow that it has finished does not contradict the platform.
"""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError
from epochal_proto.v1.services import RunService
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_gateway.doors.mlflow import entries, experiments, model_links, run_messages
from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.names import DEFAULT_ID
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.run_messages import RUN_NAME, USER
from epochal_gateway.doors.mlflow.run_names import inactive
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject
from epochal_gateway.projections import ProjectRow

NAME_CHARS: Final = 250
#: Numbers of MLflow's enum RunStatus, which clients may send as well as names.
_NUMBERED: Final = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_ENDS: Final = {
    "FINISHED": pb.RUN_STATUS_SUCCEEDED,
    "FAILED": pb.RUN_STATUS_FAILED,
    "KILLED": pb.RUN_STATUS_STOPPED,
}
#: The last millisecond of the year 9999.
_LAST_MS: Final = 253_402_300_799_999


async def create(session: Session, fields: Fields) -> JsonObject:
    """Make a run, which is running from then on."""
    experiment = await experiments.find(session, fields.text("experiment_id") or DEFAULT_ID)
    _assert_active(experiment)
    tags = dict(entries.tag(one) for one in fields.objects("tags"))
    name = _run_name(fields.text("run_name"), tags.get(RUN_NAME, ""))
    user = fields.text("user_id")
    if user:
        tags.setdefault(USER, user)
    start = _time(fields, "start_time")
    request = pb.CreateRunRequest(
        parent=experiment.name,
        tracked=pb.TrackedRun(start_time=start),
        display_name=name,
        tags={**tags, RUN_NAME: name} if name else tags,
    )
    run = await session.call(RunService.CREATE_RUN, request)
    session.platform.runs.note(run.name)
    # As the views will have it: it runs, since when its owner says.
    run.status = pb.RUN_STATUS_RUNNING
    run.start_time.CopyFrom(start or run.create_time)
    return {"run": run_messages.run_message(run, experiment)}


async def get(session: Session, fields: Fields) -> JsonObject:
    """Read a run."""
    run, experiment = await read(session, _run_id(fields))
    linked = await model_links.linked(session, [run.name])
    return {"run": run_messages.run_message(run, experiment, *linked.values())}


async def read(session: Session, wanted: str) -> tuple[pb.Run, ProjectRow]:
    """Return a run and its experiment.

    Raises:
        EpochalError: there is none, for this caller.
    """
    name = await session.platform.runs.find(session.org, wanted)
    run = await session.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    return run, experiment_of(session, name)


def experiment_of(session: Session, name: str) -> ProjectRow:
    """Return the project of a run that is there."""
    row = session.platform.directory.project(name.partition("/runs/")[0])
    assert row is not None, "projects never vanish"
    return row


async def update(session: Session, fields: Fields) -> JsonObject:
    """Rename a run, end it, or take it up again."""
    name = await session.platform.runs.writable(session.org, _run_id(fields))
    new_name = fields.text("run_name", limit=NAME_CHARS)
    wanted = _status(fields)
    end = _time(fields, "end_time")
    if new_name:
        await rename(session, name, new_name)
    if wanted in _ENDS:
        await _end(session, name, _ENDS[wanted], end)
    elif wanted == "RUNNING":
        await _take_up(session, name)
    run = await session.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    return {"run_info": run_messages.info(run, experiment_of(session, name))}


async def rename(session: Session, name: str, new_name: str) -> None:
    """Give a run another name, and the tag that has it with it."""
    request = pb.RenameRunRequest(name=name, display_name=new_name)
    try:
        await session.call(RunService.RENAME_RUN, request)
    except EpochalError as error:
        if error.reason == "RUN_DELETED":
            raise inactive(name) from error
        raise


async def delete(session: Session, fields: Fields) -> JsonObject:
    """Delete a run, until it is restored."""
    name = await session.platform.runs.find(session.org, _run_id(fields))
    await session.call(RunService.DELETE_RUN, pb.DeleteRunRequest(name=name))
    session.platform.runs.note_deleted(name)
    return {}


async def restore(session: Session, fields: Fields) -> JsonObject:
    """Restore a deleted run."""
    name = await session.platform.runs.find(session.org, _run_id(fields))
    await session.call(RunService.RESTORE_RUN, pb.RestoreRunRequest(name=name))
    session.platform.runs.note_restored(name)
    return {}


async def _end(session: Session, name: str, status: pb.RunStatus, end: Timestamp | None) -> None:
    """End a run as its owner says; one that had ended otherwise is taken up and ended again."""
    request = pb.FinishRunRequest(name=name, status=status, end_time=end, force=True)
    try:
        await session.call(RunService.FINISH_RUN, request)
    except EpochalError as error:
        if error.reason == "NOT_TRACKED":
            if status == pb.RUN_STATUS_STOPPED:
                stop = pb.StopRunRequest(name=name, reason="killed through MLflow")
                await session.call(RunService.STOP_RUN, stop)
            return
        if error.reason != "ILLEGAL_TRANSITION":
            raise
        await session.call(RunService.RESUME_RUN, pb.ResumeRunRequest(name=name))
        await session.call(RunService.FINISH_RUN, request)


async def _take_up(session: Session, name: str) -> None:
    """Let a tracked run go on that had ended; one that runs, or is an agent's, stays as it is."""
    run = await session.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    ended = run_messages.status(run) not in ("RUNNING", "SCHEDULED")
    if run.kind == pb.RUN_KIND_TRACKED and ended:
        request = pb.ResumeRunRequest(name=name, reason="resumed through MLflow")
        await session.call(RunService.RESUME_RUN, request)


def _run_id(fields: Fields) -> str:
    return fields.text("run_id") or fields.text("run_uuid") or fields.required("run_id")


def _run_name(given: str, tagged: str) -> str:
    if given and tagged and given != tagged:
        raise MlflowError(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different "
            f"values (run_name='{given}', mlflow.runName='{tagged}')."
        )
    name = given or tagged
    if len(name) > NAME_CHARS:
        raise MlflowError(f"'run_name' exceeds the maximum length of {NAME_CHARS} characters")
    return name


def _status(fields: Fields) -> str:
    if not fields.has("status"):
        return ""
    given = fields.text("status") if fields.is_text("status") else str(fields.whole("status"))
    wanted = _NUMBERED.get(given, given)
    if wanted == "SCHEDULED":
        raise MlflowError(
            "A run is RUNNING from its creation and cannot become SCHEDULED: submit work that is "
            "to wait as a polyaxonfile (`epochal run`)"
        )
    if wanted not in _ENDS and wanted != "RUNNING":
        raise MlflowError(f"Invalid value \"{given}\" for parameter 'status' supplied.")
    return wanted


def _time(fields: Fields, name: str) -> Timestamp | None:
    value = fields.whole(name)
    if not value:
        return None
    if not 0 < value <= _LAST_MS:
        raise MlflowError(f"Invalid value {value} for parameter '{name}' supplied.")
    return Timestamp(seconds=value // 1_000, nanos=value % 1_000 * 1_000_000)


def _assert_active(experiment: ProjectRow) -> None:
    if experiment.archived:
        raise MlflowError(
            f"The experiment {experiments.experiment_id(experiment)} must be in the 'active' "
            "state. Current state is deleted."
        )


def routes() -> list[MlflowRoute]:
    """Return the routes of runs, without what they log."""
    return [
        MlflowRoute("POST", "runs/create", create),
        MlflowRoute("GET", "runs/get", get),
        MlflowRoute("POST", "runs/update", update),
        MlflowRoute("POST", "runs/delete", delete),
        MlflowRoute("POST", "runs/restore", restore),
    ]
