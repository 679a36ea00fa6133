"""Finding runs: what the grammar reads, and that SQL finds what an evaluation in memory finds."""

from __future__ import annotations

import json
import math
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import eq, ge, gt, le, lt
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.paging import pack
from epochal_kernel.postgres import Pool
from epochal_tracker import params
from epochal_tracker.search.compiler import After, Parameters, after_clause, where
from epochal_tracker.search.filters import Condition, Field, Order, parse, parse_order
from epochal_tracker.services.runs import _after
from epochal_tracker.store.runs import RunStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tracker_world import PROJECT, tracker_tables

COMPARE: dict[str, Callable[[object, object], bool]] = {
    "=": eq, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
START = datetime(2030, 1, 1, tzinfo=UTC)
NUMBERS = [0.0, 1.0, -1.0, 0.1, 1e300, math.inf, -math.inf]
TEXTS = ["", "a", "b", "ab", "ba", "1"]
PIPELINES = [f"0193a000-0000-7000-8000-00000000010{number}" for number in (1, 2)]
STATUSES = {pb.RUN_STATUS_RUNNING: "running", pb.RUN_STATUS_FAILED: "failed"}


@dataclass(frozen=True)
class Run:
    """A run as the oracle sees it."""

    run_id: UUID
    name: str
    status: int
    create_time: datetime
    params: dict[str, object] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, object] = field(default_factory=dict)
    pipeline: str = ""
    step: str = ""
    iteration: int = 0
    schedule_time: datetime | None = None


def some_runs(number: int) -> list[Run]:
    chosen = random.Random(7)

    def maybe(name: str, values: list[object]) -> dict[str, object]:
        return {name: chosen.choice(values)} if chosen.random() < 0.8 else {}

    return [
        Run(
            UUID(int=chosen.getrandbits(128)),
            chosen.choice(TEXTS),
            chosen.choice(list(STATUSES)),
            START + timedelta(hours=chosen.randrange(20)),
            maybe("lr", [*NUMBERS, math.nan, 0, 1, 7, "1", "fast", True]),
            maybe("team", ["a", "b", "ab"]),
            maybe("loss", [*NUMBERS, math.nan]),
            maybe("acc", [*NUMBERS, 3, "good"]),
            chosen.choice(["", *(f"{PROJECT}/runs/{one}" for one in PIPELINES)]),
            chosen.choice(["", "train", "test"]),
            chosen.randrange(5),
            chosen.choice([None, START + timedelta(days=chosen.randrange(5))]),
        )
        for _ in range(number)
    ]


RUNS = some_runs(120)


def value_of(plain: object) -> pb.Value:
    if isinstance(plain, bool):
        return pb.Value(bool_value=plain)
    if isinstance(plain, int):
        return pb.Value(int_value=plain)
    if isinstance(plain, float):
        return pb.Value(double_value=plain)
    return pb.Value(string_value=str(plain))


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        for run in RUNS:
            kept = {name: value_of(plain) for name, plain in run.params.items()}
            await pool.execute(
                "INSERT INTO run VALUES ($1, $2, $3, 1, $4, '', $5, $6, '', '', 0, NULL, $7, "
                "NULL, NULL, '', '[]', $8, $9, $10, $8, '', '[]', $11, $12, '', false, '', NULL)",
                run.run_id, PROJECT, run.name, run.status, params.to_json(kept),
                json.dumps(run.tags), run.create_time, run.pipeline, run.step, run.iteration,
                params.to_json({name: value_of(plain) for name, plain in run.outputs.items()}),
                run.schedule_time,
            )  # fmt: skip
            for name, last in run.metrics.items():
                await pool.execute(
                    "INSERT INTO tracker.metric_summary VALUES ($1, $2, $3, 0, 0, 0, 0, 1)",
                    run.run_id, name, last,
                )  # fmt: skip
        await pool.execute(
            "INSERT INTO run SELECT gen_random_uuid(), $1, display_name, kind, status, message, "
            "params, tags, creator, queue, attempt, exit_code, create_time, start_time, end_time, "
            "spec_digest, incomplete_producers, pipeline, step, iteration, origin, origin_kind, "
            "holds, outputs, schedule_time, service_path, paused, more FROM run LIMIT 5",
            f"{PROJECT}-two",
        )
        yield pool


def number_of(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def compares(condition: Condition, found: object, text: str) -> bool:
    """Whether one value of a condition fits what a run has there."""
    if found is None:
        return False
    if condition.operator == "%":
        return text.lower() in str(found).lower()
    compare = COMPARE[condition.operator]
    match condition.field.name:
        case "metrics":
            return not math.isnan(float(str(found))) and compare(found, float(text))
        case "params" | "outputs":
            number = number_of(text)
            is_number = isinstance(found, int | float) and not isinstance(found, bool)
            by_number = is_number and number is not None and compare(float(str(found)), number)
            shown = str(found).lower() if isinstance(found, bool) else str(found)
            return by_number or (condition.operator == "=" and shown == text)
        case "status":
            return STATUSES[int(str(found))] == text
        case "pipeline" | "origin":
            return str(found).endswith(text.rpartition("/")[2])
        case "iteration":
            return compare(found, int(text))
        case "create_time" | "schedule_time":
            return compare(found, datetime.fromisoformat(text))
        case _:
            return compare(found, text)


def found_at(run: Run, place: Field) -> object:
    match place.name:
        case "origin":
            return run.pipeline
        case "metrics" | "params" | "outputs" | "tags":
            return getattr(run, place.name).get(place.key)
        case _:
            return getattr(run, place.name)


def fits(run: Run, conditions: list[Condition]) -> bool:
    return all(
        any(compares(one, found_at(run, one.field), value) for value in one.values) != one.negated
        for one in conditions
    )


def written(condition: Condition) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    name = condition.field.name
    place = f"{name}.{quoted(condition.field.key)}" if condition.field.key else name
    sign = "" if condition.operator == "=" else condition.operator
    values = " | ".join(quoted(value) for value in condition.values)
    return f"{place}: {'~' if condition.negated else ''}{sign}{values}"


def condition(
    place: Field, operators: list[str], values: list[str]
) -> st.SearchStrategy[Condition]:
    return st.builds(
        Condition,
        st.just(place),
        st.sampled_from(operators),
        st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple),
        st.booleans(),
    )


NUMERIC = [str(number) for number in NUMBERS]
ORDERING = list(COMPARE)
conditions = st.lists(
    st.one_of(
        condition(Field("name"), [*ORDERING, "%"], ["a", "b", "ab"]),
        condition(Field("status"), ["="], list(STATUSES.values())),
        condition(
            Field("create_time"),
            ORDERING,
            [(START + timedelta(hours=hour)).isoformat() for hour in (0, 5, 19)],
        ),
        condition(Field("metrics", "loss"), ORDERING, NUMERIC),
        condition(Field("metrics", "none"), ORDERING, NUMERIC),
        condition(Field("params", "lr"), ORDERING, NUMERIC),
        condition(Field("params", "lr"), ["="], ["1", "fast", "true", "nan", "7"]),
        condition(Field("outputs", "acc"), ORDERING, NUMERIC),
        condition(Field("outputs", "acc"), ["="], ["good", "3"]),
        condition(Field("pipeline"), ["="], [PIPELINES[0], f"{PROJECT}/runs/{PIPELINES[1]}"]),
        condition(Field("origin"), ["="], [PIPELINES[0], f"{PROJECT}/runs/{PIPELINES[1]}"]),
        condition(Field("step"), [*ORDERING, "%"], ["train", "test", "t"]),
        condition(Field("iteration"), ORDERING, ["0", "2", "4", "-1"]),
        condition(
            Field("schedule_time"),
            ORDERING,
            [(START + timedelta(days=day)).isoformat() for day in (0, 2)],
        ),
        condition(Field("tags", "team"), [*ORDERING, "%"], ["a", "b", "ab"]),
        condition(Field("tags", "none"), ["=", "%"], ["a"]),
    ),
    max_size=4,
)
orders = st.builds(
    Order,
    st.sampled_from(
        [
            Field("name"),
            Field("status"),
            Field("create_time"),
            Field("metrics", "loss"),
            Field("params", "lr"),
            Field("outputs", "acc"),
            Field("step"),
            Field("iteration"),
            Field("schedule_time"),
            Field("pipeline"),
            Field("tags", "team"),
        ]
    ),
    st.booleans(),
)


def sort_value(run: Run, place: Field) -> object:
    found = found_at(run, place)
    if place.name in ("metrics", "params", "outputs"):
        number = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if number and not math.isnan(float(found)) else None
    return found


def in_order(runs: list[Run], order: Order) -> list[UUID]:
    runs = sorted(runs, key=lambda run: run.run_id, reverse=True)
    absent = [run for run in runs if sort_value(run, order.field) is None]
    rest = [run for run in runs if sort_value(run, order.field) is not None]
    rest.sort(key=lambda run: sort_value(run, order.field), reverse=order.descending)
    return [run.run_id for run in (*rest, *absent)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=conditions, order=orders, page=st.integers(1, 60))
async def test_sql_finds_and_pages_what_memory_finds(
    pool: Pool, asked: list[Condition], order: Order, page: int
) -> None:
    text = ", ".join(written(one) for one in asked)
    read = parse(text)
    assert read == asked, text
    store, after, found = RunStore(pool), None, []
    while True:
        rows = await store.search(PROJECT, read, order, after, page)
        found += [row.run.run_id for row in rows]
        if len(rows) < page:
            break
        # What goes through a page token and back.
        value, uid = json.loads(json.dumps([rows[-1].sort, str(rows[-1].run.run_id)]))
        after = After(value, UUID(uid))
    expected = in_order([run for run in RUNS if fits(run, asked)], order)
    assert found == expected, text


@given(st.lists(conditions.filter(bool).map(lambda made: made[0]), max_size=4))
def test_a_filter_reads_back_as_it_was_written(asked: list[Condition]) -> None:
    assert parse(", ".join(written(one) for one in asked)) == asked


keys = st.text(min_size=1, max_size=8)


@given(keys, st.text(max_size=8))
def test_any_key_and_value_can_be_quoted(key: str, value: str) -> None:
    made = Condition(Field("tags", key), "=", (value,), False)
    assert parse(written(made)) == [made]


@given(st.text(max_size=30))
def test_nonsense_is_read_or_refused_with_its_place(text: str) -> None:
    for read in (parse, parse_order):
        try:
            read(text)
        except InvalidArgument:
            continue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("status:running|failed", [Condition(Field("status"), "=", ("running", "failed"), False)]),
        ("metrics.val/loss:<0.1", [Condition(Field("metrics", "val/loss"), "<", ("0.1",), False)]),
        ("name:~%digits", [Condition(Field("name"), "%", ("digits",), True)]),
        (
            'params."a:b" : >= 3 , tags.x: y z',
            [
                Condition(Field("params", "a:b"), ">=", ("3",), False),
                Condition(Field("tags", "x"), "=", ("y z",), False),
            ],
        ),
        ('name:"a,b|c\\"d"', [Condition(Field("name"), "=", ('a,b|c"d',), False)]),
    ],
)
def test_the_grammar_reads(text: str, expected: list[Condition]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("status", "expected FIELD:VALUE"),
        ("status:", "expected a value for status"),
        ("status:a|", "expected a value"),
        ("status:running,", "must follow the comma"),
        ("staus:running", "unknown field 'staus'"),
        ("metrics:1", "unknown field 'metrics'"),
        ("name.x:1", "unknown field 'name.x'"),
        ('name:"open', "expected a value"),
        (":x", "at character 1 of"),
    ],
)
def test_the_grammar_refuses_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("metrics.loss:fast", "takes a number"),
        ("metrics.loss:<nan", "takes a number"),
        ("metrics.loss:%1", "only text can contain text"),
        ("params.lr:<fast", "takes a number"),
        ("status:<running", "no operator"),
        ("status:asleep", "one of created, queued"),
        ("status:unspecified", "one of created"),
        ("create_time:>yesterday", "takes a time"),
        ('create_time:>"0001-01-01T00:00:00+14:00"', "takes a time"),
        ("create_time:%2026", "only text"),
        ("schedule_time:>noon", "takes a time"),
        ("pipeline:mine", "a run's name or UUID"),
        ("origin:<x", "no operator"),
        ("iteration:one", "a whole number"),
        ("iteration:99999999999999999999", "a whole number"),
        ("iteration:%1", "only text can contain text"),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        where(parse(text), Parameters())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Order(Field("create_time"), True)),
        ("name", Order(Field("name"), False)),
        ("metrics.val/loss desc", Order(Field("metrics", "val/loss"), True)),
        ('tags."a b" asc', None),
        ("name up", None),
        ("nam", None),
    ],
)
def test_an_order_is_read(text: str, expected: Order | None) -> None:
    if expected is None:
        with pytest.raises(InvalidArgument):
            parse_order(text)
    else:
        assert parse_order(text) == expected


UID = "0193a000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    "order_by", ["metrics.loss", "outputs.acc", "status", "create_time", "iteration", "name"]
)
@pytest.mark.parametrize(
    "sort", [{"a": 1}, [], "x", 1e400, 10**30, -1, "0001-01-01T00:00:00+14:00"]
)
def test_a_page_token_made_up_breaks_nothing(order_by: str, sort: object) -> None:
    token = pack(json.dumps(["", order_by, sort, UID]))
    order = parse_order(order_by)
    place = _after(pb.ListRunsRequest(order_by=order_by, page_token=token))
    parameters = Parameters()
    number = isinstance(sort, int | float)
    # Some make a place, if a strange one.
    if (
        order_by == "name"
        or ("." in order_by and number)
        or (order_by == "iteration" and sort == -1)
    ):
        assert after_clause(order, place, parameters)
        return
    with pytest.raises(InvalidArgument) as caught:
        after_clause(order, place, parameters)
    assert [one.field for one in caught.value.violations] == ["page_token"]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        pack("1"),
        pack("[]"),
        pack('["","",1]'),
        pack('["","",1,"no uuid"]'),
        pack('["","",1,2]'),
    ],
)
def test_a_foreign_page_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        _after(pb.ListRunsRequest(page_token=token))


def test_a_page_token_belongs_to_its_filter_and_order() -> None:
    token = pack(json.dumps(["status:failed", "name", "a", UID]))
    found = _after(pb.ListRunsRequest(filter="status:failed", order_by="name", page_token=token))
    assert found == After("a", UUID(UID))
    with pytest.raises(InvalidArgument):
        _after(pb.ListRunsRequest(filter="status:running", order_by="name", page_token=token))
