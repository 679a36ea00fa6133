"""MLflow's filters: their translation finds what MLflow's own rules say, over random runs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import eq, ge, gt, le, lt, ne

import pytest
import pytest_asyncio
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.postgres import Pool
from epochal_tracker.search import mlflow
from epochal_tracker.search.syntax import All, Compare, Deleted, Field, Scope
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_world import (
    NUMBERS,
    PROJECT,
    RUNS,
    START,
    STATUSES,
    Run,
    all_pages,
    in_order,
    stored,
    text_of,
)
from test_search import metric

NUMERIC: dict[str, Callable[[object, object], bool]] = {
    "=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
WORDS = {
    "created": "SCHEDULED",
    "running": "RUNNING",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
FINITE = [str(number) for number in NUMBERS if abs(number) < 1e301]


@dataclass(frozen=True)
class Filter:
    text: str
    fits: Callable[[Run], bool]


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with stored(database, RUNS) as pool:
        yield pool


def status(run: Run) -> str:
    return WORDS[STATUSES[run.status]]


def like(pattern: str, text: str, any_case: bool) -> bool:
    written = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch(written, text, re.DOTALL | (re.IGNORECASE if any_case else 0)) is not None


def of_number(
    keys: list[str], found: Callable[[Run], float | None], values: list[str]
) -> st.SearchStrategy[Filter]:
    def made(key: str, comparator: str, value: str) -> Filter:
        def fits(run: Run) -> bool:
            number = found(run)
            return number is not None and NUMERIC[comparator](number, float(value))

        return Filter(f"{key} {comparator} {value}", fits)

    return st.builds(
        made, st.sampled_from(keys), st.sampled_from(list(NUMERIC)), st.sampled_from(values)
    )


def of_text(
    keys: list[str], found: Callable[[Run], str | None], values: list[str], *, lists: bool
) -> st.SearchStrategy[Filter]:
    def made(key: str, comparator: str, chosen: list[str], quote: str) -> Filter:
        shown = ", ".join(f"{quote}{value}{quote}" for value in chosen)

        def fits(run: Run) -> bool:
            text = found(run)
            if text is None:
                return False
            match comparator:
                case "IN" | "NOT IN":
                    return (text in chosen) == (comparator == "IN")
                case "=" | "!=":
                    return (text == chosen[0]) == (comparator == "=")
                case _:
                    return like(chosen[0], text, comparator == "ILIKE")

        if comparator in ("IN", "NOT IN"):
            return Filter(f"{key} {comparator} ({shown})", fits)
        return Filter(f"{key} {comparator} {quote}{chosen[0]}{quote}", fits)

    comparators = ["=", "!=", "LIKE", "ILIKE", *(["IN", "NOT IN"] if lists else [])]
    return st.builds(
        made,
        st.sampled_from(keys),
        st.sampled_from(comparators),
        st.lists(st.sampled_from(values), min_size=1, max_size=3),
        st.sampled_from(["'", '"']),
    )


def null(key: str, found: Callable[[Run], object]) -> st.SearchStrategy[Filter]:
    return st.booleans().map(
        lambda negated: Filter(
            f"{key} IS {'NOT ' if negated else ''}NULL", lambda run: (found(run) is None) != negated
        )
    )


def param(name: str) -> Callable[[Run], str | None]:
    return lambda run: text_of(run.params[name]) if name in run.params else None


def milliseconds(at: datetime | None) -> float | None:
    return at.timestamp() * 1000 if at else None


def dataset(place: int) -> st.SearchStrategy[Filter]:
    key = ("name", "digest")[place]
    values = ("ab", "xy")[place]
    return st.sampled_from(values).map(
        lambda value: Filter(
            f"datasets.{key} = '{value}'",
            lambda run: any(one[place] == value for one in run.datasets),
        )
    )


IDS = [run.run_id.hex for run in RUNS[:5]]
TIMES = [str(int((START + timedelta(days=day)).timestamp() * 1000)) for day in (0, 3, 10)]
leaves = st.one_of(
    of_number(
        ["metrics.loss", "metric.loss", 'metrics."loss"', "metrics.`loss`", "`metrics`.loss"],
        lambda run: metric(run, "loss", "last"),
        FINITE,
    ),
    of_number(["metrics.none"], lambda run: None, FINITE),
    of_number(
        ["attributes.start_time", "created", "run.Created"],
        lambda run: milliseconds(run.start_time or run.create_time),
        TIMES,
    ),
    of_number(["end_time"], lambda run: milliseconds(run.end_time), TIMES),
    of_text(
        ["params.lr", "parameters.lr", "param.`lr`"],
        param("lr"),
        ["1", "fast", "0.1", "%a%", "_"],
        lists=False,
    ),
    of_text(
        ['params."x y"', "params.`x y`"], param("x y"), ["a", "a\\b", "a%", "_", "A_B"], lists=False
    ),
    of_text(
        ["tags.team", 'tag."team"'],
        lambda run: run.tags.get("team"),
        ["a", "ab", "%b"],
        lists=False,
    ),
    of_text(
        ["attributes.run_name", "attr.`run name`"],
        lambda run: run.name or None,
        ["a", "b", "A%", "Ba"],
        lists=True,
    ),
    of_text(
        ["status", "attribute.status"],
        status,
        ["RUNNING", "FINISHED", "%ED", "nothing"],
        lists=True,
    ),
    of_text(["run_id"], lambda run: run.run_id.hex, [*IDS, "none", "%a%"], lists=True),
    of_text(
        ["user_id"],
        lambda run: run.tags.get("mlflow.user") or run.creator.partition("/")[2],
        ["bob", "alice", "b%"],
        lists=True,
    ),
    null("params.lr", param("lr")),
    null("tags.team", lambda run: run.tags.get("team")),
    dataset(0),
    dataset(1),
)


def joined(parts: list[Filter], word: str) -> Filter:
    many = all if word.strip().upper() == "AND" else any
    return Filter(
        word.join(f"({part.text})" for part in parts),
        lambda run: many(part.fits(run) for part in parts),
    )


#: What MLflow itself reads: clauses joined by AND.
clauses = st.lists(leaves, min_size=1, max_size=4).map(
    lambda parts: Filter(
        " AND ".join(part.text for part in parts), lambda run: all(part.fits(run) for part in parts)
    )
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from([" AND ", " or "])
        ),
        inner.map(lambda part: Filter(f"NOT ({part.text})", lambda run: not part.fits(run))),
    ),
    max_leaves=6,
)
sortable: dict[str, Callable[[Run], object]] = {
    "metrics.loss": lambda run: metric(run, "loss", "last"),
    'params."x y"': param("x y"),
    "tags.`team`": lambda run: run.tags.get("team"),
    "attributes.start_time": lambda run: run.start_time or run.create_time,
    "end_time": lambda run: run.end_time,
    "run_name": lambda run: run.name,
    "run_id": lambda run: run.run_id.hex,
}
sort_keys = st.lists(
    st.tuples(st.sampled_from(sorted(sortable)), st.sampled_from(["", " ASC", " desc"])),
    min_size=1,
    max_size=3,
)


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    asked=st.none() | clauses | filters,
    keys=sort_keys,
    size=st.integers(1, 60),
    few=st.sampled_from([-1, 2000]),
)
async def test_a_translated_filter_finds_what_mlflow_means(
    pool: Pool, asked: Filter | None, keys: list[tuple[str, str]], size: int, few: int
) -> None:
    node = mlflow.parse(asked.text if asked else "")
    orders = mlflow.parse_order(", ".join(key + direction for key, direction in keys))
    system = (Scope((PROJECT,)), Deleted(False))
    found = await all_pages(pool, All((*system, node)), orders, size, few)
    expected = in_order(
        [
            run
            for run in RUNS
            if run.project == PROJECT and not run.deleted and (asked is None or asked.fits(run))
        ],
        [(sortable[key], direction == " desc") for key, direction in keys],
    )
    assert found == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("metrics.acc > 'high'", "Expected numeric value type for metric. Found 'high'"),
        ("metrics.acc LIKE 'x'", "Invalid comparator 'LIKE' not one of"),
        ("params.lr = 0.1", "Expected a quoted string value for parameter"),
        ("params.lr > '0.1'", "Invalid comparator '>' not one of"),
        ("params.lr IN ('a', 1)", "Expected a quoted string value for parameter"),
        ("tags.x = y", "Expected a quoted string value for tag"),
        ("status = RUNNING", "Expected a quoted string value for attributes"),
        ("attributes.colour = 'red'", "Invalid attribute key 'colour' specified. Valid keys"),
        ("colour = 'red'", "Invalid attribute key 'colour'"),
        ("model.x = 'a'", "Invalid entity type 'model'. Valid values are"),
        ("datasets.size = '1'", "Invalid dataset key 'size'"),
        ("start_time > 'now'", "Expected numeric value type for numeric attribute: start_time"),
        ("start_time > 1e300", "no time in milliseconds"),
        ("start_time IN ('a')", "Invalid comparator 'IN'"),
        ("run_id IN ()", "expected a non-empty list"),
        ("metrics.acc >", "at the end of"),
        ("metrics.acc > 1 metrics.b > 2", "found 'metrics'"),
        ("metrics.a b > 1", "found 'b'"),
        ("(metrics.acc > 1", "at the end of"),
        ("NOT " * 101 + "metrics.a > 1", "at most 100 groups"),
        (" AND ".join(["metrics.a > 1"] * 501), "at most 500 conditions"),
    ],
)
def test_a_filter_that_mlflow_refuses_is_refused_in_its_words(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(says)):
        mlflow.parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour", "Invalid order_by key 'colour'"),
        ("datasets.name", "runs are not sorted by it"),
        ("model.x DESC", "Invalid entity type 'model'"),
        ("metrics.", "a key is missing"),
        ("metrics.a b", "quote keys that hold spaces"),
        (", ".join(["metrics.a"] * 11), "at most 10 keys"),
    ],
)
def test_an_order_that_is_none_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(says)) as caught:
        mlflow.parse_order(text)
    assert [one.field for one in caught.value.violations] == ["order_by"]


def test_keys_may_hold_what_operators_are_made_of() -> None:
    assert mlflow.parse('metrics."a > b or c" = 1') == Compare(
        Field("metrics", "a > b or c"), "=", 1.0
    )
    assert mlflow.parse("metrics.val/loss-1 = 1") == Compare(
        Field("metrics", "val/loss-1"), "=", 1.0
    )
    assert mlflow.parse("created < 0") == Compare(
        Field("begin_time"), "<", datetime.fromtimestamp(0, UTC)
    )


@settings(max_examples=400)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            ["metrics", ".", "a", "`", '"', "'", "=", "!=", "LIKE", "IN", "NOT", "AND", "OR", "(",
             ")", "1", "IS", "NULL", "params", "status", " ", ",", "-", "1e9", "\\"]
        ),
        max_size=12,
    ).map(" ".join)
)  # fmt: skip
def test_nonsense_is_read_or_refused(text: str) -> None:
    for read in (mlflow.parse, mlflow.parse_order):
        try:
            read(text)
        except InvalidArgument:
            continue
