"""Random runs in memory and in a database, and how they sort: what searches are checked against."""

from __future__ import annotations

import json
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.postgres import Pool
from epochal_tracker import named_values, params
from epochal_tracker.domain.comparing import value_text
from epochal_tracker.search.ordering import keys_of, place_of, plain
from epochal_tracker.search.syntax import Node, Order
from epochal_tracker.store.search import SearchStore
from tracker_world import PROJECT, tracker_tables

NOW = datetime(2030, 1, 20, 12, 30, tzinfo=UTC)
START = datetime(2030, 1, 1, tzinfo=UTC)
OTHER = "orgs/acme/projects/speech"
FOREIGN = "orgs/other/projects/vision"
NUMBERS = [0.0, 1.0, -1.0, 0.1, 1e300, math.inf, -math.inf]
TEXTS = ["", "a", "b", "ab", "Ba", "1", "a%b", "a_b", "a\\b"]
PIPELINES = [f"0193a000-0000-7000-8000-00000000010{number}" for number in (1, 2)]
STATUSES = {
    pb.RUN_STATUS_CREATED: "created",
    pb.RUN_STATUS_RUNNING: "running",
    pb.RUN_STATUS_SUCCEEDED: "succeeded",
    pb.RUN_STATUS_FAILED: "failed",
    pb.RUN_STATUS_STOPPED: "stopped",
}


@dataclass(frozen=True)
class Summary:
    """A metric of a run."""

    last: float
    min: float
    max: float
    points: int


@dataclass(frozen=True)
class Run:
    """A run as the oracle sees it."""

    run_id: UUID
    project: str
    name: str
    status: int
    create_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    exit_code: int | None = None
    params: dict[str, object] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Summary] = field(default_factory=dict)
    outputs: dict[str, object] = field(default_factory=dict)
    pipeline: str = ""
    step: str = ""
    iteration: int = 0
    schedule_time: datetime | None = None
    deleted: bool = False
    datasets: tuple[tuple[str, str], ...] = ()
    creator: str = "users/alice"
    note: str = ""
    pinned: bool = False
    bookmarks: tuple[str, ...] = ()


def some_runs(number: int, seed: int = 7) -> list[Run]:
    chosen = random.Random(seed)

    def maybe(name: str, values: Sequence[object]) -> dict[str, object]:
        return {name: chosen.choice(values)} if chosen.random() < 0.8 else {}

    def summary() -> Summary:
        values = [chosen.choice([*NUMBERS, math.nan]) for _ in range(chosen.randrange(1, 4))]
        numbers = [value for value in values if not math.isnan(value)]
        none = math.nan
        return Summary(
            values[-1], min(numbers, default=none), max(numbers, default=none), len(values)
        )

    def run() -> Run:
        created = START + timedelta(hours=chosen.randrange(20 * 24))
        begun = chosen.choice([None, created + timedelta(seconds=chosen.randrange(100))])
        ended = begun and chosen.choice([None, begun + timedelta(seconds=chosen.randrange(50))])
        named = {**maybe("team", ["a", "b", "ab"]), **maybe("mlflow.user", ["bob"])}
        return Run(
            UUID(int=chosen.getrandbits(128)),
            chosen.choice([PROJECT, PROJECT, PROJECT, OTHER, FOREIGN]),
            chosen.choice(TEXTS),
            chosen.choice(list(STATUSES)),
            created,
            begun,
            ended,
            chosen.choice([None, 0, 1]),
            {
                **maybe("lr", [*NUMBERS, math.nan, 0, 1, 7, "1", "0.1", "fast", True]),
                **maybe("x y", TEXTS),
            },
            {name: str(value) for name, value in named.items()},
            {"loss": summary()} if chosen.random() < 0.8 else {},
            maybe("acc", [*NUMBERS, 3, "good"]),
            chosen.choice(["", *(f"{PROJECT}/runs/{one}" for one in PIPELINES)]),
            chosen.choice(["", "train", "test"]),
            chosen.randrange(5),
            chosen.choice([None, START + timedelta(days=chosen.randrange(5))]),
            chosen.random() < 0.1,
            tuple({(chosen.choice("ab"), chosen.choice("xy")) for _ in range(chosen.randrange(3))}),
            chosen.choice(["users/alice", "users/bob"]),
            chosen.choice(["", "try again", "good"]),
            chosen.random() < 0.3,
            tuple(user for user in ("users/alice", "users/bob") if chosen.random() < 0.3),
        )

    return [run() for _ in range(number)]


RUNS = some_runs(150)


def value_of(plain_value: object) -> pb.Value:
    if isinstance(plain_value, bool):
        return pb.Value(bool_value=plain_value)
    if isinstance(plain_value, int):
        return pb.Value(int_value=plain_value)
    if isinstance(plain_value, float):
        return pb.Value(double_value=plain_value)
    return pb.Value(string_value=str(plain_value))


def text_of(plain_value: object) -> str:
    return str(plain_value).lower() if isinstance(plain_value, bool) else str(plain_value)


def number_of(plain_value: object) -> float | None:
    """The number that a parameter is; a text that is written as one counts."""
    if isinstance(plain_value, bool) or plain_value is None:
        return None
    if isinstance(plain_value, str) and plain_value.isalpha():
        return None
    try:
        number = float(str(plain_value))
    except ValueError:
        return None
    return None if math.isnan(number) else number


@asynccontextmanager
async def stored(url: str, runs: Sequence[Run]) -> AsyncIterator[Pool]:
    """The runs in a database."""
    async with tracker_tables(url) as pool:
        for run in runs:
            await _store(pool, run)
        yield pool


async def _store(pool: Pool, run: Run) -> None:
    kept = {name: value_of(each) for name, each in run.params.items()}
    outputs = {name: value_of(each) for name, each in run.outputs.items()}
    await pool.execute(
        "INSERT INTO run (run_id, project, display_name, kind, status, message, params, tags, "
        "creator, queue, attempt, exit_code, create_time, start_time, end_time, spec_digest, "
        "incomplete_producers, pipeline, step, iteration, origin, origin_kind, holds, outputs, "
        "schedule_time, service_path, paused, more, delete_time) "
        "VALUES ($1, $2, $3, 1, $4, '', $5, $6, $7, '', 0, $8, $9, $10, $11, '', '[]', $12, $13, "
        "$14, $12, '', '[]', $15, $16, '', false, '', $17)",
        run.run_id, run.project, run.name, run.status, params.to_json(kept), json.dumps(run.tags),
        run.creator, run.exit_code, run.create_time, run.start_time, run.end_time, run.pipeline,
        run.step, run.iteration, params.to_json(outputs), run.schedule_time,
        NOW if run.deleted else None,
    )  # fmt: skip
    fields = [("p", name, value) for name, value in kept.items()]
    fields += [("o", name, value) for name, value in outputs.items()]
    fields += [("t", name, pb.Value(string_value=text)) for name, text in run.tags.items()]
    for kind, name, value in fields:
        number = None if kind == "t" else named_values.number_of(value)
        await pool.execute(
            "INSERT INTO run_field VALUES ($1, $2, $3, $4, $5)",
            run.run_id, kind, name, value_text(value), number,
        )  # fmt: skip
    for name, one in run.metrics.items():
        await pool.execute(
            "INSERT INTO tracker.metric_summary "
            "(run_id, metric, last, last_step, last_time_us, min, max, points) "
            "VALUES ($1, $2, $3, 0, 0, $4, $5, $6)",
            run.run_id, name, one.last, one.min, one.max, one.points,
        )  # fmt: skip
    marks = [("note", "", run.note)] if run.note else []
    marks += [("pin", "", "")] if run.pinned else []
    marks += [("bookmark", user, "") for user in run.bookmarks]
    for kind, owner, text in marks:
        await pool.execute(
            "INSERT INTO run_mark VALUES ($1, $2, $3, $4, '')", run.run_id, kind, owner, text
        )
    for name, digest in run.datasets:
        await pool.execute(
            "INSERT INTO run_dataset VALUES ($1, $2, $3, '')", run.run_id, name, digest
        )


def in_order(
    runs: Sequence[Run], keys: Sequence[tuple[Callable[[Run], object], bool]]
) -> list[UUID]:
    """Sorted by several values, missing ones last, the id in the direction of the first key."""
    found = sorted(runs, key=lambda run: run.run_id, reverse=keys[0][1])
    for value, descending in reversed(keys):
        absent = [run for run in found if value(run) is None]
        rest = [run for run in found if value(run) is not None]
        rest.sort(key=value, reverse=descending)
        found = [*rest, *absent]
    return [run.run_id for run in found]


async def all_pages(
    pool: Pool, node: Node, orders: Sequence[Order], size: int, few: int
) -> list[UUID]:
    """All that a search finds, page by page, through what a page token can hold."""
    store, place, found = SearchStore(pool, few), None, list[UUID]()
    while True:
        answer = await store.find(node, orders, place, size, counted=True)
        found += [each.run_id for each in answer.places]
        if len(answer.places) < size:
            assert answer.total == len(found)
            return found
        last = answer.places[-1]
        values, run_id = json.loads(
            json.dumps([[plain(value) for value in last.values], str(last.run_id)])
        )
        place = place_of(keys_of(orders), values, run_id)
