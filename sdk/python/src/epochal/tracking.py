"""`epochal.init`, the current run, and the module-level functions that act on it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final, Literal, SupportsFloat, Unpack

from epochal import starting
from epochal.ending import Outcome, outcome_of
from epochal.errors import EpochalError, NoActiveRun
from epochal.logging_datasets import DatasetOptions
from epochal.notices import say
from epochal.options import captures, from_environment, silenced
from epochal.results import Dataset, LoggedModel
from epochal.run import Run
from epochal.silent import SilentRun

_lock: Final = threading.Lock()
_runs: Final[list[Run]] = []


def init(
    project: str = "",
    name: str = "",
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    mode: str | None = None,
    strict: bool | None = None,
    capture: bool | None = None,
    run: str = "",
    resume: Literal["continue", "truncate"] | None = None,
    from_step: int | None = None,
    no_op: bool | None = None,
) -> Run:
    """Begins a run, or joins the scheduled run this process belongs to, and makes it current.

        with epochal.init(project="vision", params={"lr": 0.1}) as run:
            run.log_metric("loss", 0.5, step=1)

    Leaving the block finishes the run: succeeded, failed with the traceback, or stopped by Ctrl-C.
    Without a block, call `finish()`; at the latest the end of the process does.

    Args:
        project: "vision", "acme/vision" or the full name; the configured one when empty.
        name: Name for people; made up when empty.
        params: Parameters.
        tags: Tags.
        mode: "online" needs the platform to begin, then survives its absence; "offline" writes only
            to this machine, for `epochal sync`. Default: EPOCHAL_MODE, else "online".
        strict: Whether dropped telemetry raises. Default: EPOCHAL_STRICT, else no.
        capture: Whether a tracked run records, in the background, what it is made of: command, git
            state and difference, packages, machine. Default: EPOCHAL_CAPTURE, else yes. Of a
            scheduled run its agent records it.
        run: UUID or full name of a tracked run of an earlier process to go on with.
        resume: What becomes of the points that it has: "continue" leaves them, and calls without a
            step count on; "truncate" hides those of `from_step` and later, which this process logs
            again, as after a restart from a checkpoint. Nothing is deleted, and seals verify.
        from_step: First step to be logged again.
        no_op: Whether the run does nothing at all, as for all ranks but the first. Default:
            EPOCHAL_NO_OP, else no.

    Raises:
        NotConfigured, PlatformUnreachable: Online, and there is no platform.
        EpochalError: The platform refused it.
    """
    if silenced(no_op):
        return _known(SilentRun(_forget))
    options = from_environment(mode, strict)
    if scheduled := os.environ.get("EPOCHAL_RUN"):
        begun = starting.attach(scheduled, params or {}, tags or {}, options, _forget)
    elif run or resume or from_step is not None:
        begun = starting.resume(
            project, run, resume, from_step, params or {}, tags or {}, options, _forget
        )
    else:
        begun = starting.create(project, name, params or {}, tags or {}, options, _forget)
        if captures(capture):
            begun.capture()
    return _known(begun)


def _known(begun: Run) -> Run:
    """Makes a run the current one, until it is finished."""
    with _lock:
        _runs.append(begun)
    if multiprocessing.parent_process() is not None:
        Finalize(None, _finish_all, exitpriority=0)  # such a child ends without atexit
    return begun


def current_run() -> Run:
    """The run that was begun last and is not finished; inside a scheduled run there always is one.

    Raises:
        NoActiveRun: There is none.
    """
    if _runs:
        return _runs[-1]
    if os.environ.get("EPOCHAL_RUN"):
        return init()
    raise NoActiveRun


def log_metric(name: str, value: SupportsFloat, step: int | None = None) -> None:
    """Logs one point to the current run. See `Run.log_metric`."""
    (_runs[-1] if _runs else current_run()).log_metric(name, value, step)


def log_metrics(metrics: Mapping[str, SupportsFloat], step: int | None = None) -> None:
    """Logs one point of each metric to the current run. See `Run.log_metrics`."""
    current_run().log_metrics(metrics, step)


def log_series(
    name: str,
    values: Iterable[float],
    steps: Iterable[int] | None = None,
    times_us: Iterable[int] | None = None,
) -> None:
    """Logs many points of one metric to the current run. See `Run.log_series`."""
    current_run().log_series(name, values, steps, times_us)


def log_param(name: str, value: object) -> None:
    """Logs one parameter of the current run. See `Run.log_params`."""
    current_run().log_param(name, value)


def log_params(params: Mapping[str, object]) -> None:
    """Logs parameters of the current run. See `Run.log_params`."""
    current_run().log_params(params)


def log_outputs(outputs: Mapping[str, object] | None = None, **more: object) -> None:
    """Tells declared outputs of the current run. See `Run.log_outputs`."""
    current_run().log_outputs(outputs, **more)


def log_seeds(seeds: Mapping[str, object] | None = None, **more: object) -> None:
    """Records seeds of the current run. See `Run.log_seeds`."""
    current_run().log_seeds(seeds, **more)


def set_tag(name: str, value: object) -> None:
    """Sets one tag of the current run. See `Run.set_tags`."""
    current_run().set_tag(name, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """Sets tags of the current run. See `Run.set_tags`."""
    current_run().set_tags(tags)


def log_artifact(path: str | Path, name: str | None = None, kind: str = "file") -> str:
    """Uploads a file or folder to the current run. See `Run.log_artifact`."""
    return current_run().log_artifact(path, name, kind)


def log_model(
    model: object,
    name: str = "model",
    *,
    register: str | None = None,
    alias: str | None = None,
    description: str = "",
    flavor: str = "",
    schema: Mapping[str, object] | None = None,
    sign_key: str | Path | None = None,
) -> LoggedModel:
    """Uploads, and registers if asked, a model of the current run. See `Run.log_model`."""
    return current_run().log_model(
        model,
        name,
        register=register,
        alias=alias,
        description=description,
        flavor=flavor,
        schema=schema,
        sign_key=sign_key,
    )


def use_dataset(
    name: str, data: object, digest: str | None = None, **more: Unpack[DatasetOptions]
) -> Dataset:
    """Records that the current run reads a dataset. See `Run.use_dataset`."""
    return current_run().use_dataset(name, data, digest, **more)


def finish(status: Outcome = "succeeded", message: str = "") -> None:
    """Finishes the current run, if there is one. See `Run.finish`."""
    if _runs:
        _runs[-1].finish(status, message)


def _forget(run: Run) -> None:
    with _lock:
        if run in _runs:
            _runs.remove(run)


def _finish_all() -> None:
    """At the end of the process: what was never finished is finished, as the process ended."""
    error = None
    if not hasattr(sys, "ps1"):  # at a prompt, an old error says nothing of the run
        error = getattr(sys, "last_value", None)  # set by the interpreter when it was uncaught
    for run in reversed(_runs[:]):
        try:
            run.finish(*outcome_of(error))
        except EpochalError as problem:
            say(str(problem))


def _abandon_all() -> None:
    """In a forked child: the threads that send are not there; the parent goes on logging."""
    for run in _runs:
        run.abandon()
    _runs.clear()


atexit.register(_finish_all)
os.register_at_fork(after_in_child=_abandon_all)
