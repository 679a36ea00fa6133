"""A run as the training sees it: log, use, finish."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import SupportsFloat

import epochal_proto.v1 as pb

from epochal.alerting import Goal, Severity, alert_rule
from epochal.capturing import Capturer
from epochal.ending import Outcome, end_run, finish_request, outcome_of
from epochal.errors import DataIncomplete, RunClosed
from epochal.logging_curves import CurveCalls
from epochal.logging_files import FileCalls
from epochal.logging_media import MediaCalls
from epochal.names import last_part, project_of
from epochal.notices import say
from epochal.options import RunOptions
from epochal.outputs import tell_outputs
from epochal.recording import Recorder
from epochal.records.gathering import Gatherer
from epochal.records.made import Made
from epochal.series import to_points
from epochal.spool.folder import RunFolder
from epochal.telemetry import Telemetry
from epochal.tensorboard.ingesting import Follower
from epochal.values import to_values


class Run(FileCalls, MediaCalls, CurveCalls):
    """One run. Made by `epochal.init`; safe to use from any number of threads.

    with epochal.init(project="vision", params={"lr": 0.1}) as run:
        for step in range(100):
            run.log_metric("loss", train_one_step(), step)
    """

    def __init__(
        self,
        folder: RunFolder,
        recorder: Recorder,
        telemetry: Telemetry,
        options: RunOptions,
        on_finish: Callable[[Run], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._recorder = recorder
        self._telemetry = telemetry
        self._options = options
        self._on_finish = on_finish
        self._capturer = Capturer(folder, recorder)
        self._gatherer = Gatherer(
            folder,
            recorder.record,
            say,
            max_bytes=options.spool_max_bytes,
            on_drop=telemetry.drop,
        )
        self._followers: list[Follower] = []
        self._ending = threading.Lock()
        self._ended = False
        self._add = telemetry.buffer.add

    @property
    def name(self) -> str:
        """Resource name, `orgs/O/projects/P/runs/UUID`."""
        return self._folder.run

    @property
    def id(self) -> str:
        """The UUID alone."""
        return last_part(self._folder.run)

    @property
    def project(self) -> str:
        """Resource name of its project."""
        return project_of(self._folder.run)

    @property
    def folder(self) -> Path:
        """Where it keeps what the platform has not persisted."""
        return self._folder.path

    @property
    def owned(self) -> bool:
        """Whether this process made the run and will finish it; false inside a scheduled run."""
        return self._folder.owned

    @property
    def dropped_points(self) -> int:
        """How many points could not be kept; when not 0 the run is marked incomplete."""
        return self._telemetry.dropped

    @property
    def pending_points(self) -> int:
        """How many points are logged but not packed yet: a bulk load paces itself by it.

        Points beyond the buffer's limit are dropped and counted, because a training loop must not
        wait; a loop that copies old series in can.
        """
        return len(self._telemetry.buffer)

    def log_metric(self, name: str, value: SupportsFloat, step: int | None = None) -> None:
        """Logs one point; never waits for anything (about half a microsecond).

        Args:
            name: Such as "val/loss".
            value: A number; NaN and infinities are data.
            step: Training step; without it, the calls for this metric are counted from 0.

        Raises:
            InvalidArgument: The name, value or step cannot be stored.
            RunClosed: The run is finished.
            DataIncomplete: In strict mode, when points had to be dropped.
        """
        self._add(name, value, step)

    def log_metrics(self, metrics: Mapping[str, SupportsFloat], step: int | None = None) -> None:
        """Logs one point of each metric, at one step. See `log_metric`."""
        for name, value in metrics.items():
            self._add(name, value, step)

    def log_series(
        self,
        name: str,
        values: Iterable[float],
        steps: Iterable[int] | None = None,
        times_us: Iterable[int] | None = None,
    ) -> None:
        """Logs many points of one metric at once, such as a numpy array: far cheaper a point.

        Args:
            name: Such as "val/loss".
            values: Numbers.
            steps: Whole numbers, as many; 0, 1, 2... without.
            times_us: Microseconds since 1970, as many; now without.

        Raises:
            InvalidArgument: The columns differ in length, or hold what cannot be stored.
        """
        self._telemetry.buffer.add_series(to_points(name, values, steps, times_us))

    def log_record(self, name: str, made: Made, step: int | None = None) -> None:
        """Logs a record that is encoded. See `MediaCalls`."""
        self._check_open()
        self._gatherer.add(made, name, step)
        if self._options.strict and self._telemetry.dropped:
            raise DataIncomplete(f"{self._telemetry.dropped} points or records were dropped")

    def log_param(self, name: str, value: object) -> None:
        """Logs one parameter; a parameter keeps its first value. See `log_params`."""
        self.log_params({name: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Logs parameters: text, numbers, booleans as such, anything else as JSON.

        Raises:
            FailedPrecondition: One has another value already.
        """
        self._check_open()
        if params:
            self._recorder.record(pb.LogParamsRequest(run=self.name, params=to_values(params)))

    def log_outputs(self, outputs: Mapping[str, object] | None = None, **more: object) -> None:
        """Tells declared outputs, for those that come next: `run.log_outputs(acc=0.93)`.

        Inside a scheduled run they are held against the spec when the process has ended.

        Raises:
            InvalidArgument: A name cannot be.
        """
        self._check_open()
        if told := {**(outputs or {}), **more}:
            tell_outputs(self.name, told, self._recorder, owned=self.owned)

    def log_seeds(self, seeds: Mapping[str, object] | None = None, **more: object) -> None:
        """Records seeds by who uses them, so that the run can be made again: `numpy=0`."""
        self._check_open()
        self._capturer.log_seeds({**(seeds or {}), **more})

    def capture(self) -> None:
        """Records in the background what this process is made of; `init` does it by itself."""
        self._check_open()
        self._capturer.start()

    def set_tag(self, name: str, value: object) -> None:
        """Sets one tag; an empty value removes it."""
        self.set_tags({name: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Sets tags; values become text, an empty one removes the tag."""
        self._check_open()
        if tags:
            text = {str(name): str(value) for name, value in tags.items()}
            self._recorder.record(pb.SetTagsRequest(run=self.name, tags=text))

    def alert_when(
        self,
        metric: str = "",
        *,
        above: float | None = None,
        below: float | None = None,
        for_batches: int = 0,
        change_percent: float | None = None,
        not_a_number: bool = False,
        plateau_points: int | None = None,
        divergence_factor: float | None = None,
        stalled_s: int | None = None,
        min_delta: float = 0.0,
        goal: Goal = "minimize",
        severity: Severity = "warning",
        message: str = "",
        stop: bool = False,
        name: str = "",
    ) -> None:
        """Has the platform raise an alert about a metric, from what is logged from now on.

            run.alert_when("loss", above=10, severity="critical", stop=True)
            run.alert_when("loss", plateau_points=1000, min_delta=1e-4)

        Args:
            metric: Which; empty for every metric, and with `stalled_s`.
            above: Values above are too high; may go with `below`.
            below: Values below are too low.
            for_batches: Only if so many batches of points in a row are altogether so.
            change_percent: The last value differs by so much from the one before.
            not_a_number: A value is NaN or infinite. A rule of this kind is there by itself.
            plateau_points: The best value has not become better for so many points.
            divergence_factor: Further from the best than so many times the gain since the first.
            stalled_s: No points come for so many seconds.
            min_delta: What does not count as better (`plateau_points`) or worse.
            goal: Which way is better, for `plateau_points` and `divergence_factor`.
            severity: "info", "warning" or "critical".
            message: What people are told; made up without.
            stop: Whether the run is stopped.
            name: Of the rule; a rule of the same name is replaced. Made up without.

        Raises:
            InvalidArgument: Not exactly one condition is given.
        """
        self._check_open()
        rule = alert_rule(
            metric,
            name=name,
            above=above,
            below=below,
            for_batches=for_batches,
            change_percent=change_percent,
            not_a_number=not_a_number,
            plateau_points=plateau_points,
            divergence_factor=divergence_factor,
            stalled_s=stalled_s,
            min_delta=min_delta,
            goal=goal,
            severity=severity,
            message=message,
            stop=stop,
        )
        self._recorder.record(pb.DeclareAlertRulesRequest(run=self.name, rules=[rule]))

    def finish(self, status: Outcome = "succeeded", message: str = "") -> None:
        """Ends the run here: waits, bounded, until all is persisted, seals and finishes it.

        What the platform could not take in time stays in `folder`, for `epochal sync`. Inside a
        scheduled run only this process's telemetry is sealed: the agent finishes the run. A second
        call does nothing.

        Raises:
            DataIncomplete: In strict mode, when points had to be dropped.
            EpochalError: In strict mode, when the platform has not got everything.
        """
        request = finish_request(self.name, status, message)
        with self._ending:
            if self._ended:
                return
            for follower in self._followers:
                follower.close()
            self._ended = True
            self._capturer.finish()
            try:
                self._gatherer.close()
                end_run(self._folder, self._recorder, self._telemetry, self._options, request)
            finally:
                self._on_finish(self)

    def log_succeeded(self, message: str = "") -> None:
        """Ends the run as succeeded. See `finish`.

        >>> run.log_succeeded()
        """
        self.finish("succeeded", message)

    def log_failed(self, message: str = "") -> None:
        """Ends the run as failed, with the reason. See `finish`.

        >>> run.log_failed("the loss is NaN")
        """
        self.finish("failed", message)

    def log_status(self, status: Outcome, message: str = "") -> None:
        """Ends the run with a status; every other status is the platform's to decide.

        >>> run.log_status("failed", "the loss is NaN")

        Raises:
            InvalidArgument: It is not "succeeded", "failed" or "stopped".
        """
        self.finish(status, message)

    def log_stopped(self, message: str = "") -> None:
        """Ends the run as stopped, with the reason. See `finish`.

        >>> run.log_stopped("good enough")
        """
        self.finish("stopped", message)

    def abandon(self) -> None:
        """Makes this copy of the run inert: in a forked child its threads do not exist."""
        self._ended = True
        self._add = _ignore

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish(*outcome_of(error))

    def __repr__(self) -> str:
        return f"<epochal.Run {self.name}{' ended' if self._ended else ''}>"

    def _check_open(self) -> None:
        if self._ended:
            raise RunClosed


def _ignore(metric: str, value: SupportsFloat, step: int | None) -> None:
    """A forked child has no way to send; its parent logs."""
