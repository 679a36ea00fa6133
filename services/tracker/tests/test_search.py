"""Epochal's filters: SQL finds, sorts and pages what an evaluation in memory does."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from operator import eq, ge, gt, le, lt

import pytest_asyncio
from epochal_kernel.postgres import Pool
from epochal_tracker.search import epochal
from epochal_tracker.search.syntax import All, Deleted, Scope, for_user
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_world import (
    NOW,
    NUMBERS,
    OTHER,
    PIPELINES,
    PROJECT,
    RUNS,
    START,
    STATUSES,
    Run,
    all_pages,
    in_order,
    number_of,
    stored,
    text_of,
)

COMPARE: dict[str, Callable[[object, object], bool]] = {
    "": eq, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
SCOPES = [
    Scope((PROJECT,)),
    Scope((PROJECT, OTHER)),
    Scope((), ("orgs/acme",)),
    Scope((PROJECT,), ("orgs/other",)),
]


@dataclass(frozen=True)
class Filter:
    """A filter as text, and what it means."""

    text: str
    fits: Callable[[Run], bool]


@dataclass(frozen=True)
class SortKey:
    """An order as text, the value it means (several for parameters), and its direction."""

    text: str
    values: tuple[Callable[[Run], object], ...]
    descending: bool


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with stored(database, RUNS) as pool:
        yield pool


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def no_nan(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else number


def asked_number(text: str) -> float | None:
    try:
        return no_nan(float(text))
    except ValueError:
        return None


def metric(run: Run, name: str, aggregate: str) -> float | None:
    found = run.metrics.get(name)
    return no_nan(float(getattr(found, aggregate))) if found else None


def condition(
    name: str, operators: list[str], values: list[str], fits: Callable[[Run, str, str], bool]
) -> st.SearchStrategy[Filter]:
    """Conditions FIELD: [~] [operator] value | value ..."""

    def made(operator: str, chosen: list[str], negated: bool) -> Filter:
        sign = "~" if negated else ""
        text = f"{name}:{sign}{operator}{' | '.join(quoted(value) for value in chosen)}"
        return Filter(
            text, lambda run: any(fits(run, operator, value) for value in chosen) != negated
        )

    some = st.lists(st.sampled_from(values), min_size=1, max_size=3)
    return st.builds(made, st.sampled_from(operators), some, st.booleans())


def of_number(name: str, found: Callable[[Run], float | None]) -> st.SearchStrategy[Filter]:
    def fits(run: Run, operator: str, value: str) -> bool:
        number = found(run)
        return number is not None and COMPARE[operator](number, float(value))

    compared = condition(name, list(COMPARE), [str(number) for number in NUMBERS], fits)
    low_high = st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS))

    def between(ends: tuple[float, float]) -> Filter:
        def inside(run: Run) -> bool:
            number = found(run)
            return number is not None and ends[0] <= number <= ends[1]

        return Filter(f"{name}:{ends[0]}..{ends[1]}", inside)

    return compared | low_high.map(between)


def of_value(group: str, key: str, values: list[str]) -> st.SearchStrategy[Filter]:
    """A parameter: equal as text or as a number, less and more only as a number."""

    def fits(run: Run, operator: str, value: str) -> bool:
        found = getattr(run, group).get(key)
        if found is None:
            return False
        number, wanted = number_of(found), asked_number(value)
        by_number = number is not None and wanted is not None and COMPARE[operator](number, wanted)
        return by_number or (operator == "" and text_of(found) == value)

    name = f"{group}.{quoted(key)}"
    numbers = [str(number) for number in NUMBERS]
    return condition(name, list(COMPARE), numbers, fits) | condition(name, [""], values, fits)


def of_text(
    name: str, found: Callable[[Run], str | None], values: list[str]
) -> st.SearchStrategy[Filter]:
    def fits(run: Run, operator: str, value: str) -> bool:
        text = found(run)
        if text is None:
            return False
        if operator == "%":
            return value.lower() in text.lower()
        return COMPARE[operator](text, value)

    begins = st.sampled_from([value for value in values if value]).map(
        lambda value: Filter(
            f"{name}:{value}%", lambda run: (found(run) or "").lower().startswith(value.lower())
        )
    )
    return condition(name, [*COMPARE, "%"], values, fits) | begins


def of_time(name: str, found: Callable[[Run], object]) -> st.SearchStrategy[Filter]:
    def fits(run: Run, operator: str, value: str) -> bool:
        return found(run) is not None and COMPARE[operator](found(run), times[value])

    times = {
        (START + timedelta(hours=hour)).isoformat(): START + timedelta(hours=hour)
        for hour in (0, 5, 48, 400)
    }

    def within(word: str, since: timedelta, until: timedelta) -> Filter:
        midnight = NOW.replace(hour=0, minute=0)
        base = NOW if word.startswith("last") else midnight

        def inside(run: Run) -> bool:
            at = found(run)
            return at is not None and base - since <= at < base + until  # type: ignore[operator]  # a time

        return Filter(f"{name}:{word}", inside)

    days = {
        "last_week": (timedelta(days=7), timedelta()),
        "today": (timedelta(), timedelta(days=1)),
        "yesterday": (timedelta(days=1), timedelta()),
    }
    spans = st.sampled_from(sorted(days)).map(lambda word: within(word, *days[word]))
    ago = st.integers(0, 20).map(
        lambda number: Filter(
            f"{name}:>=now-{number}d",
            lambda run: found(run) is not None and found(run) >= NOW - timedelta(days=number),  # type: ignore[operator]  # a time
        )
    )
    return condition(name, list(COMPARE), list(times), fits) | spans | ago


def missing(name: str, found: Callable[[Run], object]) -> st.SearchStrategy[Filter]:
    def made(negated: bool) -> Filter:
        return Filter(
            f"{name}:{'~' if negated else ''}nil", lambda run: (found(run) in (None, "")) != negated
        )

    return st.booleans().map(made)


def flag(name: str, found: Callable[[Run], bool]) -> st.SearchStrategy[Filter]:
    return st.booleans().map(
        lambda wanted: Filter(f"{name}:{str(wanted).lower()}", lambda run: found(run) == wanted)
    )


STATUS_WORDS = list(STATUSES.values())
leaves = st.one_of(
    of_text("name", lambda run: run.name, ["a", "b", "ab", "A%b", "a_b", "a\\b"]),
    of_text("step", lambda run: run.step, ["train", "test", "t"]),
    of_text("tags.team", lambda run: run.tags.get("team"), ["a", "b", "ab"]),
    of_text("tags.none", lambda run: None, ["a"]),
    condition("status", [""], STATUS_WORDS, lambda run, _, value: STATUSES[run.status] == value),
    condition(
        "pipeline",
        [""],
        [PIPELINES[0], f"{PROJECT}/runs/{PIPELINES[1]}"],
        lambda run, _, value: run.pipeline.endswith(value.rpartition("/")[2]),
    ),
    condition(
        "iteration",
        list(COMPARE),
        ["0", "2", "4", "-1"],
        lambda run, operator, value: COMPARE[operator](run.iteration, int(value)),
    ),
    condition(
        "exit_code",
        list(COMPARE),
        ["0", "1"],
        lambda run, operator, value: (
            run.exit_code is not None and COMPARE[operator](run.exit_code, int(value))
        ),
    ),
    of_time("created_at", lambda run: run.create_time),
    of_time("schedule_time", lambda run: run.schedule_time),
    of_number("metrics.loss", lambda run: metric(run, "loss", "last")),
    of_number("min(metrics.loss)", lambda run: metric(run, "loss", "min")),
    of_number("max(metrics.loss)", lambda run: metric(run, "loss", "max")),
    of_number("count(metrics.loss)", lambda run: metric(run, "loss", "points")),
    of_number("metrics.none", lambda run: None),
    of_number(
        "duration",
        lambda run: (
            (run.end_time - run.start_time).total_seconds()
            if run.end_time and run.start_time
            else None
        ),
    ),
    of_value("params", "lr", ["1", "fast", "true", "nan", "7", "0.1"]),
    of_value("params", "x y", ["a", "ab", "a%b", ""]),
    of_value("outputs", "acc", ["good", "3"]),
    flag("pinned", lambda run: run.pinned),
    flag("bookmarked", lambda run: "users/alice" in run.bookmarks),
    of_text("note", lambda run: run.note or None, ["good", "again", "a"]),
    missing("note", lambda run: run.note),
    missing("params.lr", lambda run: run.params.get("lr")),
    missing("metrics.loss", lambda run: run.metrics.get("loss")),
    missing("end_time", lambda run: run.end_time),
    missing("step", lambda run: run.step),
    condition("tags", [""], ["team", "none"], lambda run, _, value: value in run.tags),
)


def joined(parts: list[Filter], word: str) -> Filter:
    many = all if word in (" AND ", ", ") else any
    text = word.join(f"({part.text})" for part in parts)
    return Filter(text, lambda run: many(part.fits(run) for part in parts))


filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            joined,
            st.lists(inner, min_size=2, max_size=3),
            st.sampled_from([" AND ", ", ", " OR "]),
        ),
        inner.map(lambda part: Filter(f"NOT ({part.text})", lambda run: not part.fits(run))),
    ),
    max_leaves=6,
)
sortable: dict[str, tuple[Callable[[Run], object], ...]] = {
    "name": (lambda run: run.name,),
    "status": (lambda run: run.status,),
    "created_at": (lambda run: run.create_time,),
    "end_time": (lambda run: run.end_time,),
    "metrics.loss": (lambda run: metric(run, "loss", "last"),),
    "min(metrics.loss)": (lambda run: metric(run, "loss", "min"),),
    "count(metrics.loss)": (lambda run: metric(run, "loss", "points"),),
    "params.lr": (
        lambda run: number_of(run.params.get("lr")),
        lambda run: text_of(run.params["lr"]) if "lr" in run.params else None,
    ),
    "tags.team": (lambda run: run.tags.get("team"),),
    "iteration": (lambda run: run.iteration,),
    "schedule_time": (lambda run: run.schedule_time,),
    "pipeline": (lambda run: run.pipeline,),
    "uuid": (lambda run: run.run_id,),
}


def sort_key(name: str, descending: bool, dashed: bool) -> SortKey:
    if dashed:
        text = f"-{name}" if descending else name
    else:
        text = f"{name} {'desc' if descending else 'asc'}"
    return SortKey(text, sortable[name], descending)


sort_keys = st.builds(sort_key, st.sampled_from(sorted(sortable)), st.booleans(), st.booleans())


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    asked=st.none() | filters,
    keys=st.lists(sort_keys, min_size=1, max_size=3),
    size=st.integers(1, 60),
    scope=st.sampled_from(SCOPES),
    view=st.sampled_from([None, True, False]),
    few=st.sampled_from([-1, 5, 2000]),
)
async def test_sql_finds_sorts_and_pages_what_memory_does(
    pool: Pool,
    asked: Filter | None,
    keys: list[SortKey],
    size: int,
    scope: Scope,
    view: bool | None,
    few: int,
) -> None:
    node = for_user(epochal.parse(asked.text if asked else "", NOW), "users/alice")
    system = [scope] if view is None else [scope, Deleted(view)]
    orders = epochal.parse_order(", ".join(key.text for key in keys))
    found = await all_pages(pool, All((*system, node)), orders, size, few)
    looked_at = [
        run
        for run in RUNS
        if (
            run.project in scope.projects
            or any(run.project.startswith(f"{org}/") for org in scope.organisations)
        )
        and view in (None, run.deleted)
    ]
    expected = in_order(
        [run for run in looked_at if asked is None or asked.fits(run)],
        [(value, key.descending) for key in keys for value in key.values],
    )
    assert found == expected


@settings(max_examples=200, deadline=None)
@given(filters)
def test_a_group_in_parentheses_is_the_same_filter(asked: Filter) -> None:
    assert epochal.parse(f"({asked.text})", NOW) == epochal.parse(asked.text, NOW)
