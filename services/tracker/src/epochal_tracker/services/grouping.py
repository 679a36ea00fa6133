"""SearchService: runs in groups, and runs beside each other."""

from __future__ import annotations

import math
from dataclasses import replace
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.paging import DEFAULT_PAGE, pack, unpack_number
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.domain.tabulating import tabulate
from epochal_tracker.search.compiler import grouped
from epochal_tracker.search.epochal import parse_order
from epochal_tracker.search.grouping import aggregate, group_key, groups_page
from epochal_tracker.search.ordering import keys_of
from epochal_tracker.search.syntax import Field, OneOf
from epochal_tracker.services.finding import Finder, Wanted, filter_of, scope_of
from epochal_tracker.services.messages import split
from epochal_tracker.store.search import SearchStore

DEFAULT_COLUMNS = 20


class Grouping:
    """Handlers of SearchService that lay runs together."""

    def __init__(
        self, finder: Finder, search: SearchStore, progress: Progress, clock: Clock
    ) -> None:
        self._finder = finder
        self._search = search
        self._progress = progress
        self._clock = clock

    async def group_runs(
        self, request: pb.GroupRunsRequest, context: CallContext
    ) -> pb.GroupRunsResponse:
        """Group runs by fields, the largest groups first."""
        by = [group_key(text) for text in request.group_by]
        numbers = [aggregate(text) for text in request.values]
        best = keys_of(parse_order(request.best_by)[:1])[0] if request.best_by else None
        wanted = Wanted(
            scope_of(request.parents),
            request.filter,
            request.grammar,
            view=request.view,
            user=context.actor,
        )
        node = filter_of(wanted, self._clock.now())
        size, skipped = request.page_size or DEFAULT_PAGE, unpack_number(request.page_token) or 0
        await self._progress.wait_for(context.min_position)
        rows = await self._search.groups(
            groups_page(grouped(node), by, numbers, best, size + 1, skipped)
        )
        response = pb.GroupRunsResponse()
        for row in rows[:size]:
            keys, count, run, values = (
                row[: len(by)],
                row[len(by)],
                row[len(by) + 1],
                row[len(by) + 2 :],
            )
            response.groups.add(
                keys=[_key(field, text) for field, text in zip(by, keys, strict=True)],
                count=int(str(count)),
                values=[math.nan if each is None else float(str(each)) for each in values],
                best_run=str(run or ""),
            )
        if len(rows) > size:
            response.next_page_token = pack(str(skipped + size))
        return response

    async def tabulate_runs(
        self, request: pb.TabulateRunsRequest, context: CallContext
    ) -> pb.RunTable:
        """Lay runs beside each other."""
        wanted = Wanted(
            scope_of(request.parents),
            request.filter,
            request.grammar,
            request.order_by,
            request.limit or (len(request.runs) or DEFAULT_COLUMNS),
            user=context.actor,
        )
        if request.runs:
            ids = [str(_within(name, request)) for name in request.runs]
            wanted = replace(wanted, also=OneOf(Field("run_id"), tuple(dict.fromkeys(ids))))
        await self._progress.wait_for(context.min_position)
        page = await self._finder.find(wanted)
        runs = page.runs
        if request.runs and not request.order_by:
            places = {name: place for place, name in enumerate(request.runs)}
            runs.sort(key=lambda run: places.get(run.name, len(places)))
        return tabulate(runs, with_equal=request.with_equal)


def _within(name: str, request: pb.TabulateRunsRequest) -> UUID:
    project, run_id = split(name)
    if not any(project == parent or project.startswith(f"{parent}/") for parent in request.parents):
        raise InvalidArgument(
            f"{name} lies in none of the parents",
            violations=[Violation("runs", "parent", "name its project in parents")],
        )
    return run_id


def _key(field: Field, value: object) -> pb.Value:
    if value is None or value == "":
        return pb.Value()
    text = str(value)
    if field.name == "status":
        text = pb.RunStatus.Name(pb.RunStatus.ValueType(int(text)))
        text = text.removeprefix("RUN_STATUS_").lower()
    elif field.name == "kind":
        text = pb.RunKind.Name(pb.RunKind.ValueType(int(text))).removeprefix("RUN_KIND_").lower()
    return pb.Value(string_value=text)
