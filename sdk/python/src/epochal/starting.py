"""How a run begins: a new tracked run, or this process's part in a scheduled one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
from epochal_proto.v1.services import RunService, TrackingService
from google.protobuf.timestamp_pb2 import Timestamp

from epochal import config
from epochal.client import Client
from epochal.errors import (
    EpochalError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from epochal.names import full_project, is_run, run_name
from epochal.notices import say
from epochal.operations import Operator
from epochal.options import RunOptions
from epochal.recording import Recorder
from epochal.run import Run
from epochal.spool.folder import RunFolder
from epochal.telemetry import Telemetry
from epochal.values import to_values


def attach(
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, object],
    options: RunOptions,
    on_finish: Callable[[Run], None],
) -> Run:
    """Joins the scheduled run this process belongs to; asks nothing of the platform yet.

    The agent made the run and will finish it: a training must start even while the gateway is away.

    Raises:
        InvalidArgument: EPOCHAL_RUN is not the name of a run.
        NotConfigured: Nothing names the platform.
    """
    if not is_run(name):
        raise InvalidArgument(f"EPOCHAL_RUN is not the name of a run: {name!r}")
    client = _client(options)
    folder = RunFolder.create(config.spool_root(), name, owned=False)
    run = _assemble(folder, _recorder(folder, client), client, options, on_finish)
    run.log_params(params)
    run.set_tags(tags)
    return run


def create(
    project: str,
    display_name: str,
    params: Mapping[str, object],
    tags: Mapping[str, object],
    options: RunOptions,
    on_finish: Callable[[Run], None],
) -> Run:
    """Begins a tracked run, made by this process and finished by it.

    Raises:
        NotConfigured, PlatformUnreachable: Online, and there is no platform to tell.
        NotFound: There is no such project.
        InvalidArgument: A name or value cannot be stored.
    """
    parent = full_project(project, config.default_project())
    client = _client(options)
    uid = uuid4()
    began = Timestamp()
    began.GetCurrentTime()
    request = pb.CreateRunRequest(
        parent=parent,
        tracked=pb.TrackedRun(start_time=began),
        display_name=display_name,
        params=to_values(params),
        tags={str(name): str(value) for name, value in tags.items()},
        run_id=str(uid),
    )
    folder = RunFolder.create(config.spool_root(), run_name(parent, uid), owned=True)
    recorder = _recorder(folder, client)
    try:
        made = recorder.record(request)
        if client is not None and made is None:
            raise recorder.trouble or Unavailable()
    except EpochalError as error:
        recorder.close()
        folder.remove()
        if client is not None:
            client.close()
        raise _explained(error, parent) from None
    shown = made.display_name if isinstance(made, pb.Run) else display_name
    say(f"run {shown or uid} ({options.mode}) {folder.run}")
    return _assemble(folder, recorder, client, options, on_finish)


def resume(
    project: str,
    name: str,
    how: str | None,
    from_step: int | None,
    params: Mapping[str, object],
    tags: Mapping[str, object],
    options: RunOptions,
    on_finish: Callable[[Run], None],
) -> Run:
    """Goes on with a tracked run that an earlier process began, whether it has ended or not.

    Args:
        project: the configured one when empty; unless the name says it.
        name: "orgs/O/projects/P/runs/UUID", or the UUID within the project.
        how: "continue" leaves what was logged; "truncate" hides points from `from_step` on.
        from_step: first step that this process will log again.
        params: to log as well.
        tags: to set as well.
        options: of this process's part.
        on_finish: told when it is finished.

    Raises:
        InvalidArgument: It is not said how, or from which step, or it is offline.
        NotFound: There is no such run.
        FailedPrecondition: An agent runs it: `epochal runs resume` makes it go on.
    """
    if how not in ("continue", "truncate"):
        raise InvalidArgument(
            "to go on with a run say what becomes of its points: resume='continue' leaves them, "
            "resume='truncate' with from_step=N hides those of step N and later"
        )
    if (how == "truncate") != (from_step is not None):
        raise InvalidArgument("from_step belongs to resume='truncate', and that to from_step")
    client = _client(options)
    if client is None:
        raise InvalidArgument("a run goes on online only: the platform says where it was")
    try:
        full = name if is_run(name) else _within(project, name)
        known = client.call(RunService.GET_RUN, pb.GetRunRequest(name=full))
        if known.kind != pb.RUN_KIND_TRACKED:
            raise FailedPrecondition(
                f"{full} is run by an agent: `epochal runs resume {known.uid[:13]}` makes it go on"
            )
        if known.HasField("end_time"):
            reason = "another process goes on with it"
            client.call(RunService.RESUME_RUN, pb.ResumeRunRequest(name=full, reason=reason))
        if from_step is not None:
            client.call(
                TrackingService.TRUNCATE_SERIES,
                pb.TruncateSeriesRequest(run=full, from_step=from_step),
            )
            known = client.call(RunService.GET_RUN, pb.GetRunRequest(name=full))
    except EpochalError:
        client.close()
        raise
    folder = RunFolder.create(config.spool_root(), full, owned=True)
    run = _assemble(
        folder,
        _recorder(folder, client),
        client,
        options,
        on_finish,
        {metric: found.last_step + 1 for metric, found in known.metrics.items()},
    )
    say(f"run {known.display_name or known.uid} goes on ({how}) {full}")
    run.log_params(params)
    run.set_tags(tags)
    return run


def _within(project: str, uid: str) -> str:
    try:
        return run_name(full_project(project, config.default_project()), UUID(uid))
    except ValueError:
        raise InvalidArgument(
            f"a run to go on with is named by its UUID or full name, not {uid!r}"
        ) from None


def _assemble(
    folder: RunFolder,
    recorder: Recorder,
    client: Client | None,
    options: RunOptions,
    on_finish: Callable[[Run], None],
    next_steps: Mapping[str, int] | None = None,
) -> Run:
    def finished(run: Run) -> None:
        if client is not None:
            client.close()
        on_finish(run)

    telemetry = Telemetry(folder, client, options, say)
    telemetry.buffer.count_from(next_steps or {})
    telemetry.start()
    return Run(folder, recorder, telemetry, options, finished)


def _client(options: RunOptions) -> Client | None:
    if options.mode == "offline":
        return None
    return Client(config.find(), refresh=config.find)


def _recorder(folder: RunFolder, client: Client | None) -> Recorder:
    operator = Operator(client, folder) if client is not None else None
    return Recorder(folder, folder.journal(), operator, say)


def _explained(error: EpochalError, parent: str) -> EpochalError:
    if isinstance(error, NotFound):
        hint = f"create it with `epochal projects create {parent.rsplit('/', 1)[-1]}`"
    elif isinstance(error, Unavailable):
        hint = "or keep the run on this machine with init(mode='offline') and `epochal sync` later"
    else:
        return error
    return type(error)(f"{error.message}; {hint}", reason=error.reason, resource=error.resource)
