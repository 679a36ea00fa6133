"""MLflow's smaller filters: parsed is what was written, and what holds an oracle says."""

from __future__ import annotations

import operator

import pytest
from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.filters import Clause, Grammar, Key, Order, holds
from hypothesis import given
from hypothesis import strategies as st

GRAMMAR = Grammar(
    texts=frozenset({"name", "experiment_id"}),
    numbers=frozenset({"creation_time"}),
    lists=frozenset({"experiment_id"}),
    orders=frozenset({"name", "creation_time"}),
)

SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
texts = st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"]), max_size=12)
plain_keys = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
odd_keys = st.text(st.characters(exclude_characters="`\\", codec="utf-8"), min_size=1, max_size=8)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def clauses(draw: st.DrawFn) -> tuple[str, Clause]:
    """A condition as text, and what it means."""
    kind = draw(st.sampled_from(["tag", "odd tag", "text", "number", "list", "null"]))
    match kind:
        case "number":
            value = draw(st.integers(-(10**15), 10**15))
            sign = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
            clause = Clause(Key("attribute", "creation_time"), sign, float(value))
            return f"attributes.creation_time {sign} {value}", clause
        case "list":
            values = draw(st.lists(texts, min_size=1, max_size=3))
            word = draw(st.sampled_from(["IN", "not in"]))
            listed = ", ".join(map(quoted, values))
            clause = Clause(Key("attribute", "experiment_id"), word.upper(), tuple(values))
            return f"experiment_id {word} ({listed})", clause
        case "null":
            name, word = draw(plain_keys), draw(st.sampled_from(["IS NULL", "is not null"]))
            return f"tags.{name} {word}", Clause(Key("tag", name), word.upper(), None)
    value = draw(texts)
    word = draw(st.sampled_from(["=", "!=", "LIKE", "ilike"]))
    if kind == "text":
        clause = Clause(Key("attribute", "name"), word.upper(), value)
        return f"name {word} {quoted(value)}", clause
    name = draw(plain_keys if kind == "tag" else odd_keys)
    shown = name if kind == "tag" else f"`{name}`"
    return f"tag.{shown} {word} {quoted(value)}", Clause(Key("tag", name), word.upper(), value)


@given(st.lists(clauses(), max_size=5), st.sampled_from([" AND ", " and ", "  And\n"]))
def test_what_is_parsed_is_what_was_written(parts: list[tuple[str, Clause]], glue: str) -> None:
    text = glue.join(written for written, _ in parts)
    assert GRAMMAR.clauses(text) == [meant for _, meant in parts]


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_is_refused_in_words(text: str) -> None:
    told = ""
    try:
        found = GRAMMAR.clauses(text)
    except MlflowError as error:
        found, told = [], error.message
    assert bool(found or told) == bool(text.strip())


def like(pattern: str, text: str) -> bool:
    """SQL's LIKE, by the definition."""
    if not pattern:
        return not text
    first, rest = pattern[0], pattern[1:]
    if first == "%":
        return any(like(rest, text[place:]) for place in range(len(text) + 1))
    return bool(text) and first in ("_", text[0]) and like(rest, text[1:])


few = st.text("ab%_", max_size=6)


@given(few, few)
def test_like_is_sqls(pattern: str, text: str) -> None:
    key = Key("tag", "t")
    assert holds(Clause(key, "LIKE", pattern), text) == like(pattern, text)
    assert holds(Clause(key, "ILIKE", pattern.upper()), text) == like(pattern, text)


@given(st.sampled_from(sorted(SIGNS)), st.floats(), st.floats())
def test_numbers_compare_as_numbers(sign: str, left: float, right: float) -> None:
    expected = SIGNS[sign](left, right)
    assert holds(Clause(Key("attribute", "creation_time"), sign, right), left) == expected


@pytest.mark.parametrize("word", ["=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"])
def test_what_is_not_there_fits_nothing_but_the_test_for_it(word: str) -> None:
    value = ("a",) if "IN" in word.split() else "a"
    assert not holds(Clause(Key("tag", "t"), word, value), None)
    assert holds(Clause(Key("tag", "t"), "IS NULL", None), None)
    assert not holds(Clause(Key("tag", "t"), "IS NOT NULL", None), None)


def test_orders_go_up_unless_they_say_otherwise() -> None:
    key = Key("attribute", "name")
    assert GRAMMAR.order("name") == GRAMMAR.order("attributes.name asc") == Order(key, True)
    assert GRAMMAR.order("`name` DESC") == Order(key, False)
    for text in ("", "name UP", "tags.a", "nonsense", "name ASC DESC"):
        with pytest.raises(MlflowError):
            GRAMMAR.order(text)
