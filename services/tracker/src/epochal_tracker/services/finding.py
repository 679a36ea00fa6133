"""Pages of runs: what ListRuns and SearchRuns share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.paging import foreign, pack, unpack

from epochal_tracker.search import epochal, mlflow
from epochal_tracker.search.ordering import Place, keys_of, place_of, plain
from epochal_tracker.search.syntax import TRUE, All, Deleted, Node, Order, Scope, for_user
from epochal_tracker.services.messages import run_message
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.search import SearchStore
from epochal_tracker.store.telemetry import TelemetryStore

#: A page ends early at as many bytes: clients of gRPC take 4 MiB in one message.
MAX_BYTES: Final = 3 * 1024 * 1024

#: Rows are read in portions, so that a page of large runs is never whole in memory.
PORTION: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched: where, which, in which order, how much, from where, and what is shown.

    `also` is a condition of the platform's own; `user` is whose bookmarks count.
    """

    scope: Scope
    filter: str = ""
    grammar: pb.FilterGrammar = pb.FILTER_GRAMMAR_EPOCHAL
    order_by: str = ""
    size: int = 50
    token: str = ""
    view: pb.RunView = pb.RUN_VIEW_ACTIVE
    counted: bool = False
    fields: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    also: Node = TRUE
    user: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Runs, the token of what follows ("" at the end), and how many fit when that was asked."""

    runs: list[pb.Run]
    next_token: str
    total: int


class Finder:
    """Finds pages of runs."""

    def __init__(
        self, search: SearchStore, runs: RunStore, telemetry: TelemetryStore, clock: Clock
    ) -> None:
        self._search = search
        self._runs = runs
        self._telemetry = telemetry
        self._clock = clock

    async def find(self, wanted: Wanted) -> Page:
        """Return a page.

        Raises:
            InvalidArgument: filter, order, fields or token cannot be read.
        """
        fields = _checked(wanted.fields)
        orders = order_of(wanted.grammar, wanted.order_by)
        now, place = self._clock.now(), None
        if wanted.token:
            now, place = _place(wanted, orders)
        node = filter_of(wanted, now)
        found = await self._search.find(
            node, orders, place, wanted.size + 1, counted=wanted.counted
        )
        places = found.places[: wanted.size]
        runs, shown = await self._messages(places, fields, wanted.metrics)
        more = shown < len(found.places)
        token = _token(wanted, now, places[shown - 1]) if more else ""
        return Page(runs, token, found.total or 0)

    async def _messages(
        self, places: Sequence[Place], fields: frozenset[str], metrics: Sequence[str]
    ) -> tuple[list[pb.Run], int]:
        """Return runs until the page is full, and how many places they took.

        A run that vanished since the page was found takes its place and is not shown.
        """
        runs: list[pb.Run] = []
        size = shown = 0
        for start in range(0, len(places), PORTION):
            ids = [place.run_id for place in places[start : start + PORTION]]
            rows = await self._runs.rows(ids)
            summaries = {}
            if not fields or "metrics" in fields:
                summaries = await self._telemetry.summaries_of(ids)
            inputs = {}
            if not fields or "inputs" in fields:
                inputs = await self._runs.inputs(ids)
            for run_id in ids:
                shown += 1
                if run_id not in rows:
                    continue
                found = summaries.get(run_id, [])
                if metrics:
                    found = [one for one in found if one.metric in metrics]
                message = run_message(rows[run_id], found, inputs.get(run_id, ()))
                for field in message.DESCRIPTOR.fields:
                    if fields and field.name not in fields:
                        message.ClearField(field.name)
                size += message.ByteSize()
                if size > MAX_BYTES and runs:
                    return runs, shown - 1
                runs.append(message)
        return runs, shown


def scope_of(parents: Sequence[str]) -> Scope:
    """Return where is looked, of names of projects and organisations."""
    projects = tuple(dict.fromkeys(each for each in parents if "/projects/" in each))
    return Scope(
        projects, tuple(dict.fromkeys(each for each in parents if "/projects/" not in each))
    )


def filter_of(wanted: Wanted, now: datetime) -> Node:
    """Return the filter with what the platform adds to it: where, and which view.

    Raises:
        InvalidArgument: the filter cannot be read.
    """
    if wanted.grammar == pb.FILTER_GRAMMAR_MLFLOW:
        asked = mlflow.parse(wanted.filter)
    else:
        asked = epochal.parse(wanted.filter, now)
    deleted: Node = Deleted(wanted.view == pb.RUN_VIEW_DELETED)
    if wanted.view == pb.RUN_VIEW_ALL:
        deleted = TRUE
    return All((wanted.scope, deleted, wanted.also, for_user(asked, wanted.user)))


def order_of(grammar: pb.FilterGrammar, text: str) -> tuple[Order, ...]:
    """Return what is sorted by.

    Raises:
        InvalidArgument: the order cannot be read.
    """
    if grammar == pb.FILTER_GRAMMAR_MLFLOW:
        return mlflow.parse_order(text)
    return epochal.parse_order(text)


def _checked(fields: Sequence[str]) -> frozenset[str]:
    known = [field.name for field in pb.Run.DESCRIPTOR.fields]
    for field in fields:
        if field not in known:
            raise InvalidArgument(
                f"read_mask: a run has no field {field!r}",
                violations=[Violation("read_mask", "field", f"use {', '.join(known)}")],
            )
    return frozenset(fields)


def _digest(wanted: Wanted) -> str:
    asked = [
        sorted(wanted.scope.projects),
        sorted(wanted.scope.organisations),
        wanted.filter,
        wanted.grammar,
        wanted.order_by,
        wanted.view,
        wanted.user,
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _token(wanted: Wanted, now: datetime, last: Place) -> str:
    values = [plain(value) for value in last.values]
    parts = [_digest(wanted), now.isoformat(), values, str(last.run_id)]
    return pack(json.dumps(parts, ensure_ascii=False))


def _place(wanted: Wanted, orders: Sequence[Order]) -> tuple[datetime, Place]:
    try:
        digest, now, values, run_id = json.loads(unpack(wanted.token))
        at = datetime.fromisoformat(now).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise foreign() from None
    if digest != _digest(wanted):
        raise InvalidArgument(
            "page_token belongs to another call: keep filter and order_by as they were",
            violations=[Violation("page_token", "page_token", "use next_page_token as it came")],
        )
    return at, place_of(keys_of(orders), values, run_id)
