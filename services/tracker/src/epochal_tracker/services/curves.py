"""SeriesService: plots of many series, and points as they arrive."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.paging import foreign, pack, unpack
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.columns import decode_points
from epochal_tracker.curves import CurveReader, Drawn, Question
from epochal_tracker.series import MAX_STEP, MIN_STEP, below
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import ENDED
from epochal_tracker.signals import RunBells
from epochal_tracker.store.curves import CurveStore, NewChunk, pattern_of
from epochal_tracker.store.runs import RunStore

DEFAULT_POINTS = 1_000
FEWEST_POINTS = 4
MOST_SERIES = 1_000
CHUNKS = 500


class Curves:
    """Handlers of SeriesService."""

    def __init__(
        self,
        lookup: RunLookup,
        runs: RunStore,
        store: CurveStore,
        progress: Progress,
        bells: RunBells,
    ) -> None:
        self._lookup = lookup
        self._runs = runs
        self._store = store
        self._reader = CurveReader(store)
        self._progress = progress
        self._bells = bells

    async def query_series(
        self, request: pb.QuerySeriesRequest, context: CallContext
    ) -> pb.QuerySeriesResponse:
        """Read series of several runs, each thinned; runs that are not of the project have none."""
        await self._progress.wait_for(context.min_position)
        wanted = [UUID(run) for run in dict.fromkeys(request.runs)]
        runs = await self._runs.of_project(request.parent, wanted)
        found = await self._store.series(
            [run for run in wanted if run in runs], pattern_of(request.metrics), MOST_SERIES + 1
        )
        axis = request.axis or pb.SERIES_AXIS_STEP
        question = Question(
            start=request.start_step if request.HasField("start_step") else MIN_STEP,
            end=request.end_step if request.HasField("end_step") else MAX_STEP,
            wanted=max(FEWEST_POINTS, request.max_points or DEFAULT_POINTS),
            thinning=request.thinning or pb.THINNING_MINMAX,
            axis=axis,
        )
        # Before the points: what comes meanwhile must not look as if it were missing.
        there = {
            run: await self._store.grown(run, pattern_of(request.metrics))
            for run in await self._store.archived(runs)
        }
        drawn: list[tuple[UUID, str, Drawn]] = []
        for run_id, metric in found[:MOST_SERIES]:
            one = await self._reader.draw(run_id, metric, question)
            if one.tally.points:
                drawn.append((run_id, metric, one))
        archived = [
            run
            for run in wanted
            if run in there and await self._lacks(run, there[run], question, drawn)
        ]
        begins: dict[UUID, int] = {}
        if axis == pb.SERIES_AXIS_RELATIVE_TIME:
            for run_id, _, one in drawn:
                first = int(one.points.times_us[0])
                begins[run_id] = min(begins.get(run_id, first), first)
        return pb.QuerySeriesResponse(
            curves=[
                _curve(f"{request.parent}/runs/{run_id}", metric, one, begins.get(run_id, 0))
                for run_id, metric, one in drawn
            ],
            more=len(found) > MOST_SERIES,
            archived=[f"{request.parent}/runs/{run}" for run in archived],
        )

    async def _lacks(
        self,
        run_id: UUID,
        totals: Mapping[str, int],
        question: Question,
        drawn: Sequence[tuple[UUID, str, Drawn]],
    ) -> bool:
        """Whether points of an archived run are missing from what is drawn of it.

        Args:
            run_id: of a run that points are archived of.
            totals: points that were ever logged of the metrics asked for.
            question: with steps left out, that some are missing cannot be told.
            drawn: all that is drawn.
        """
        if not totals:
            # In a database that was made anew from the log it has no summary of any metric.
            return not await self._store.grown(run_id, pattern_of(()))
        here = {metric: one.tally.points for run, metric, one in drawn if run == run_id}
        if (question.start, question.end) != (MIN_STEP, MAX_STEP):
            return not here
        return any(here.get(metric, 0) < points for metric, points in totals.items())

    async def tail_metrics(
        self, request: pb.TailMetricsRequest, context: CallContext
    ) -> AsyncIterator[pb.TailMetricsResponse]:
        """Send points as they arrive, until the run has ended and all are sent."""
        sent = _places(request.page_token)
        pattern = pattern_of(request.metrics)
        row = await self._lookup.run(request.run, context)
        watch = self._bells.watch(row.run_id)
        known: dict[str, int] = {}
        while True:
            # The status first: points that came before it was read are then surely found below.
            ended = (await self._lookup.run(request.run, context)).status in ENDED
            counts = await self._store.grown(row.run_id, pattern)
            metrics = [name for name, points in counts.items() if points != known.get(name)]
            news = await self._store.news(row.run_id, metrics, sent, CHUNKS) if metrics else []
            if news:
                sent |= {chunk.producer: (chunk.batch, chunk.part) for chunk in news}
                yield pb.TailMetricsResponse(
                    series=[_piece(chunk) for chunk in news], next_page_token=_token(sent)
                )
            if len(news) < CHUNKS:
                known = counts
                if ended:
                    return
                await watch.wait()


def _curve(run: str, metric: str, drawn: Drawn, begin: int) -> pb.Curve:
    tally, points = drawn.tally, drawn.points
    return pb.Curve(
        run=run,
        metric=metric,
        steps=points.steps.tolist(),
        times_us=(points.times_us - begin).tolist(),
        values=points.values.tolist(),
        points=tally.points,
        thinned=len(points.steps) < tally.points,
        first=tally.first[2],
        last=tally.last[2],
        min=tally.min,
        min_step=tally.min_step,
        max=tally.max,
        max_step=tally.max_step,
        times_estimated=drawn.estimated,
    )


def _piece(chunk: NewChunk) -> pb.MetricSeries:
    points = below(decode_points(chunk), chunk.below)
    return pb.MetricSeries(
        metric=chunk.metric,
        steps=points.steps.tolist(),
        times_us=points.times_us.tolist(),
        values=points.values.tolist(),
    )


def _token(sent: Mapping[UUID, tuple[int, int]]) -> str:
    return pack(json.dumps({producer.hex: place for producer, place in sent.items()}))


def _places(token: str) -> dict[UUID, tuple[int, int]]:
    if not token:
        return {}
    try:
        places = {
            UUID(key): (int(batch), int(part))
            for key, (batch, part) in json.loads(unpack(token)).items()
        }
    except (ValueError, TypeError, AttributeError):
        raise foreign() from None
    if not all(0 <= batch < 2**62 and 0 <= part < 2**31 for batch, part in places.values()):
        raise foreign()
    return places
