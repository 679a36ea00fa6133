"""Reading one run back: what it was given, what it measured, what it made.

run = epochal.get_run("brave-otter")
run.metrics["loss"], run.series("loss"), run.history().to_pandas()
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import (
    ArtifactService,
    RecordService,
    RunService,
    TrackingService,
)

from epochal import config, names
from epochal.artifacts import ArtifactDoor
from epochal.client import Client
from epochal.errors import InvalidArgument, NotFound
from epochal.records.made import package
from epochal.values import from_value

if TYPE_CHECKING:
    import pandas
    import polars

_POINTS: Final = 100_000
_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric."""

    metric: str
    step: int
    time: datetime
    value: float


@dataclass(frozen=True, slots=True)
class History(Sequence[Point]):
    """Points of metrics, one a row: the tidy form that plots and group-bys want."""

    points: tuple[Point, ...]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, place: int) -> Point:  # type: ignore[override]  # no slices of rows
        return self.points[place]

    def columns(self) -> dict[str, list[str] | list[int] | list[datetime] | list[float]]:
        """The columns metric, step, time and value."""
        return {
            "metric": [point.metric for point in self.points],
            "step": [point.step for point in self.points],
            "time": [point.time for point in self.points],
            "value": [point.value for point in self.points],
        }

    def to_pandas(self) -> pandas.DataFrame:
        """A frame of pandas with the columns metric, step, time, value.

        Raises:
            FailedPrecondition: pandas is not installed.
        """
        frame: pandas.DataFrame = package("pandas", "a frame").DataFrame(self.columns())
        return frame

    def to_polars(self) -> polars.DataFrame:
        """A frame of polars with the columns metric, step, time, value.

        Raises:
            FailedPrecondition: polars is not installed.
        """
        frame: polars.DataFrame = package("polars", "a frame").DataFrame(self.columns())
        return frame

    def to_csv(self, path: str | Path) -> Path:
        """Writes a CSV file (RFC 4180, UTF-8) and returns its path.

        Raises:
            OSError: The file cannot be written.
        """
        columns = self.columns()
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return Path(path)


class KnownRun:
    """A run as it is on the platform, made by `epochal.get_run`; it is read when asked."""

    def __init__(self, client: Client, run: pb.Run) -> None:
        self._client = client
        self._door = ArtifactDoor(client)
        self.proto = run

    @property
    def name(self) -> str:
        """Resource name."""
        return self.proto.name

    @property
    def id(self) -> str:
        """The UUID alone."""
        return self.proto.uid

    @property
    def display_name(self) -> str:
        """The name for people."""
        return self.proto.display_name

    @property
    def status(self) -> str:
        """Such as "running" or "succeeded", as it was when the run was read."""
        return pb.RunStatus.Name(self.proto.status).removeprefix("RUN_STATUS_").lower()

    @property
    def params(self) -> dict[str, str | int | float | bool]:
        """Parameters."""
        return {name: from_value(value) for name, value in self.proto.params.items()}

    @property
    def outputs(self) -> dict[str, str | int | float | bool]:
        """Declared outputs."""
        return {name: from_value(value) for name, value in self.proto.outputs.items()}

    @property
    def tags(self) -> dict[str, str]:
        """Tags."""
        return dict(self.proto.tags)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric."""
        return {name: metric.last for name, metric in self.proto.metrics.items()}

    def refresh(self) -> None:
        """Reads the run again."""
        self.proto = self._client.call(RunService.GET_RUN, pb.GetRunRequest(name=self.name))

    def series(
        self, metric: str, from_step: int | None = None, to_step: int | None = None
    ) -> History:
        """All points of one metric, by step.

        Raises:
            NotFound: There is no such metric.
        """
        return History(tuple(self._points(metric, from_step, to_step)))

    def history(self, metrics: Sequence[str] = ()) -> History:
        """All points of some metrics, or of all, one a row."""
        wanted = metrics or sorted(self.proto.metrics)
        return History(tuple(point for name in wanted for point in self._points(name, None, None)))

    def records(
        self,
        kind: str = "",
        name: str = "",
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> Iterator[pb.Record]:
        """Typed records, by kind, name and step: images, histograms, tables and the like."""
        request = pb.ListRecordsRequest(
            run=self.name,
            kind=kind,
            series=name,
            from_step=from_step,
            to_step=to_step,
            page_size=_PAGE,
        )
        while True:
            page = self._client.call(RecordService.LIST_RECORDS, request)
            yield from page.records
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def read(self, record: pb.Record) -> bytes:
        """The bytes of a record, such as a PNG, checked against its digest.

        Raises:
            EpochalError: They are gone, or the platform is away.
        """
        return self._door.read_record(self.name, record)

    def artifacts(self, prefix: str = "") -> Iterator[pb.Artifact]:
        """Its files, by path."""
        request = pb.ListArtifactsRequest(run=self.name, path_prefix=prefix, page_size=_PAGE)
        while True:
            page = self._client.call(ArtifactService.LIST_ARTIFACTS, request)
            yield from page.artifacts
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def download(self, path: str, to: str | Path = ".") -> list[Path]:
        """Downloads a file, or all below a folder, and returns where they are now.

        Raises:
            NotFound: There is no such artifact.
            DataLoss: The bytes have another digest than was recorded.
        """
        below = f"{path.rstrip('/')}/"
        wanted = [
            one
            for one in self.artifacts(path.rstrip("/"))
            if one.path == path or one.path.startswith(below)
        ]
        if not wanted:
            raise NotFound(f"{self.name} has no artifact {path!r}")
        made = []
        for one in wanted:
            made.append(Path(to) / one.path)
            self._door.get(self.name, one.path, made[-1], digest=one.digest)
        return made

    def logs(self) -> Iterator[str]:
        """Lines of its output."""
        request = pb.ListLogLinesRequest(run=self.name, page_size=_PAGE)
        while True:
            page = self._client.call(TrackingService.LIST_LOG_LINES, request)
            yield from (line.text for line in page.lines)
            if not page.next_page_token or not page.lines:
                return
            request.page_token = page.next_page_token

    def close(self) -> None:
        """Closes its connections."""
        self._door.close()
        self._client.close()

    def __enter__(self) -> KnownRun:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<epochal.KnownRun {self.name} {self.status}>"

    def _points(self, metric: str, from_step: int | None, to_step: int | None) -> Iterator[Point]:
        request = pb.GetMetricSeriesRequest(
            run=self.name,
            metric=metric,
            start_step=from_step,
            end_step=to_step,
            page_size=_POINTS,
        )
        while True:
            page = self._client.call(TrackingService.GET_METRIC_SERIES, request)
            for step, time_us, value in zip(page.steps, page.times_us, page.values, strict=True):
                yield Point(metric, step, datetime.fromtimestamp(time_us / 1e6, UTC), value)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def get_run(run: str, project: str = "") -> KnownRun:
    """Reads a run back.

    Args:
        run: full name, UUID, or the name for people: of several the newest.
        project: "vision", "acme/vision" or the full name; the configured one when empty.

    Raises:
        NotFound: There is none.
        NotConfigured, PlatformUnreachable: There is no platform.
    """
    client = Client(config.find(), refresh=config.find)
    try:
        return KnownRun(client, _found(client, run, project))
    except BaseException:
        client.close()
        raise


def _found(client: Client, run: str, project: str) -> pb.Run:
    if not run:
        raise InvalidArgument("which run? give its name or UUID")
    if names.is_run(run):
        return client.call(RunService.GET_RUN, pb.GetRunRequest(name=run))
    parent = names.full_project(project, client.connection.project)
    try:
        return client.call(RunService.GET_RUN, pb.GetRunRequest(name=f"{parent}/runs/{run}"))
    except (NotFound, InvalidArgument):
        quoted = run.replace("\\", "\\\\").replace('"', '\\"')
        request = pb.ListRunsRequest(parent=parent, filter=f'name:"{quoted}"', page_size=1)
        found = client.call(RunService.LIST_RUNS, request).runs
        if not found:
            raise NotFound(f"{parent} has no run {run!r}: see `epochal runs ls`") from None
        return found[0]
