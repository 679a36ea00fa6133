"""The points of metrics, whole and in pages, of one run and of many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_proto.v1.services import TrackingService

from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.names import run_id
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, number

PAGE: Final = 25_000
MOST_RUNS: Final = 100
POINTS_PER_RUN: Final = 2_500
#: Points that one answer may hold when the client asks for no page.
WHOLE: Final = 1_000_000
_READ_PAGE: Final = 100_000


async def get_history(session: Session, fields: Fields) -> JsonObject:
    """Read the points of a metric of a run, in step order."""
    wanted = fields.text("run_id") or fields.text("run_uuid") or fields.required("run_id")
    key = fields.required("metric_key")
    size = fields.whole("max_results") if fields.has("max_results") else None
    if size is not None and size <= 0:
        raise MlflowError(
            f"Invalid value {size} for parameter 'max_results' supplied. "
            "It must be a positive integer."
        )
    name = await session.platform.runs.find(session.org, wanted)
    request = pb.GetMetricSeriesRequest(
        run=name,
        metric=key,
        page_size=min(size, PAGE) if size else _READ_PAGE,
        page_token=fields.text("page_token"),
    )
    series = await read(session, request)
    points = _points(key, series)
    while size is None and series.next_page_token and len(points) < WHOLE:
        request.page_token = series.next_page_token
        series = await read(session, request)
        points += _points(key, series)
    answer: dict[str, object] = {"metrics": points}
    if series.next_page_token:
        answer["next_page_token"] = series.next_page_token
    return answer


async def get_history_bulk(session: Session, fields: Fields) -> JsonObject:
    """Read the points of a metric of several runs."""
    wanted, key = fields.texts("run_id"), fields.text("metric_key")
    if not wanted:
        raise MlflowError("GetMetricHistoryBulk request must specify at least one run_id.")
    _assert_few("GetMetricHistoryBulk", wanted)
    if not key:
        raise MlflowError("GetMetricHistoryBulk request must specify a metric_key.")
    size = min(max(1, fields.whole("max_results", PAGE)), PAGE)
    names = [await session.platform.runs.find(session.org, one) for one in sorted(wanted)]
    found = await asyncio.gather(
        *(
            read(session, pb.GetMetricSeriesRequest(run=name, metric=key, page_size=size))
            for name in names
        )
    )
    points = [
        {**point, "run_id": run_id(name)}
        for name, series in zip(names, found, strict=True)
        for point in _points(key, series)
    ]
    return {"metrics": points[:size]}


async def get_history_bulk_interval(session: Session, fields: Fields) -> JsonObject:
    """Read the points of a metric of several runs at evenly spread steps, for plots.

    As MLflow does: the steps of all runs are laid together, so many of them are chosen evenly, and
    the first and last step of each run are among them.
    """
    wanted, key = fields.texts("run_ids"), fields.required("metric_key")
    if not wanted:
        raise fields.missing("run_ids")
    _assert_few("GetMetricHistoryBulkInterval", wanted)
    size = fields.whole("max_results", POINTS_PER_RUN)
    if not 1 <= size <= POINTS_PER_RUN:
        raise MlflowError(f"max_results must be between 1 and {POINTS_PER_RUN}.")
    start, end = _interval(fields)
    names = [await session.platform.runs.find(session.org, one) for one in wanted]
    found = await asyncio.gather(*(_whole(session, name, key, start, end) for name in names))
    steps = _spread(sorted({step for series in found for step in series.steps}), size)
    points: list[JsonObject] = []
    for name, series in zip(names, found, strict=True):
        kept = steps | ({series.steps[0], series.steps[-1]} if series.steps else set())
        points += [
            {**point, "run_id": run_id(name)}
            for point in _points(key, series)
            if point["step"] in kept
        ]
    return {"metrics": points}


async def read(session: Session, request: pb.GetMetricSeriesRequest) -> pb.MetricSeries:
    """Return a page of a series; a metric that a run does not have has no points.

    Raises:
        EpochalError: refused.
    """
    try:
        return await session.call(TrackingService.GET_METRIC_SERIES, request)
    except NotFound:
        return pb.MetricSeries()


async def _whole(
    session: Session, name: str, key: str, start: int | None, end: int | None
) -> pb.MetricSeries:
    request = pb.GetMetricSeriesRequest(
        run=name, metric=key, start_step=start, end_step=end, page_size=_READ_PAGE
    )
    series = await read(session, request)
    token = series.next_page_token
    while token and len(series.steps) < WHOLE:
        request.page_token = token
        page = await read(session, request)
        series.MergeFrom(page)
        token = page.next_page_token
    return series


def _points(key: str, series: pb.MetricSeries) -> list[dict[str, object]]:
    """Return the points; one that was logged twice is there once, as in MLflow's own store."""
    points: list[dict[str, object]] = []
    at, seen = None, set[tuple[int, str]]()
    for step, time_us, value in zip(series.steps, series.times_us, series.values, strict=True):
        if step != at:
            at, seen = step, set()
        time_ms = time_us // 1_000
        mark = (time_ms, repr(value))
        if mark not in seen:
            seen.add(mark)
            points.append({"key": key, "value": number(value), "timestamp": time_ms, "step": step})
    return points


def _spread(steps: Sequence[int], size: int) -> set[int]:
    if len(steps) <= size:
        return set(steps)
    stride = len(steps) / size
    return {steps[int(place * stride)] for place in range(size)} | {steps[-1]}


def _interval(fields: Fields) -> tuple[int | None, int | None]:
    if not fields.has("start_step") and not fields.has("end_step"):
        return None, None
    if not (fields.has("start_step") and fields.has("end_step")):
        raise MlflowError("If either start step or end step are specified, both must be specified.")
    start, end = fields.whole("start_step"), fields.whole("end_step")
    if start > end:
        raise MlflowError(
            "end_step must be greater than start_step. "
            f"Found start_step={start} and end_step={end}."
        )
    return start, end


def _assert_few(call: str, wanted: Sequence[str]) -> None:
    if len(wanted) > MOST_RUNS:
        raise MlflowError(
            f"{call} request cannot specify more than {MOST_RUNS} run_ids. "
            f"Received {len(wanted)} run_ids."
        )


def routes() -> list[MlflowRoute]:
    """Return the routes of histories."""
    return [
        MlflowRoute("GET", "metrics/get-history", get_history),
        MlflowRoute("GET", "metrics/get-history-bulk", get_history_bulk),
        MlflowRoute("GET", "metrics/get-history-bulk-interval", get_history_bulk_interval),
    ]
